#!/bin/sh
# Starts HAProxy with what Ray Serve's configuration has no setting for. This stands in for the
# binary (RAY_SERVE_HAPROXY_BINARY_PATH), changes the configuration, and becomes HAProxy.
#
# * Statistics and metrics, which have no authentication, listen on loopback; the control socket is
#   its owner's alone.
# * A client has 10 seconds for its request. One that is slow, or stalls, has its connection and
#   nothing else: a replica hears of a request when it is whole (up to a buffer of 16 KiB).
# * What HAProxy answers itself is a problem body, too; where no replica answers it is 503.
# * Serve's own paths (/-/…) say nothing to strangers, and clients cannot send the headers that
#   Serve takes for its own.
answers="$(dirname "$0")/answers_of_haproxy"
defaults="\\
    # guarded\\
    timeout http-request 10s\\
    timeout http-keep-alive 60s\\
    option http-buffer-request\\
    errorfile 400 $answers/400.http\\
    errorfile 408 $answers/408.http\\
    errorfile 502 $answers/503.http\\
    errorfile 503 $answers/503.http\\
    errorfile 504 $answers/503.http"
frontend="\\
    http-request return status 401 content-type application/problem+json file $answers/401.json hdr WWW-Authenticate Bearer if { path_beg /-/ }\\
    http-request del-header x-request- -m beg\\
    http-request del-header serve_multiplexed_model_id\\
    http-request del-header serve-multiplexed-model-id\\
    http-request del-header x-session-id\\
    http-request del-header traceparent\\
    http-request del-header tracestate"
previous=
for argument in "$@"; do
    if [ "$previous" = "-f" ] && ! grep -q '# guarded' "$argument"; then
        sed -i -e 's/^\( *bind \)[*]\{0,1\}:/\1127.0.0.1:/' \
            -e 's/mode 666 level admin/mode 600 level admin/' \
            -e '/^ *timeout http-/d' \
            -e '/^ *errorfile /d' \
            -e "s|^ *option httplog.*|&$defaults|" \
            -e "/^frontend http_frontend/,/^ *bind/ s|^ *bind .*|&$frontend|" "$argument"
    fi
    previous=$argument
done
exec "$ALLOTMENT_HAPROXY_BINARY" "$@"
