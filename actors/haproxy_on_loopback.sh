#!/bin/sh
# Starts HAProxy with every listener on loopback.
#
# Ray Serve's configuration binds HAProxy's statistics and metrics to all interfaces, without
# authentication, and has no setting for it. This stands in for the binary
# (RAY_SERVE_HAPROXY_BINARY_PATH), rewrites those lines, and becomes HAProxy.
previous=
for argument in "$@"; do
    if [ "$previous" = "-f" ]; then
        sed -i -e 's/^\( *bind \)[*]\{0,1\}:/\1127.0.0.1:/' "$argument"
    fi
    previous=$argument
done
exec "$ALLOTMENT_HAPROXY_BINARY" "$@"
