"""The HTTP edge: parse → call → answer. It needs no Ray: tests run it on any way to the shards.

`app` puts it together, `gate` is what each request passes first (limits, who sends it), `problems`
is how failures are told, and `routes` has one file per resource. `backend` names all that the edge
stands on; `openapi` and `examples` complete the document that describes it. Begin at `routes/hot.py`:
the two operations of an application's every request; `at_once` is how they answer.
"""
