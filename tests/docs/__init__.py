"""The pages under `docs/`: their pictures, their site, and the tests that hold them to the code."""
