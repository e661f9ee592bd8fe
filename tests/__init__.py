"""The evidence: each test is a claim about Allotment, in one sentence."""
