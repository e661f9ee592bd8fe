"""HTTP on Ray Serve: the deployment, its replicas, and HAProxy before them.

`replica` is one process that answers, `deployment` starts and replaces replicas, `shortcut` lets the
hot operations pass Serve's layers, `accepting` takes many connections in a turn. `haproxy_guarded.sh`
starts HAProxy with our protections. Begin at `replica.py`.
"""
