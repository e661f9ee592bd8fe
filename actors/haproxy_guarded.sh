#!/bin/sh
# Starts HAProxy with what Ray Serve's configuration has no setting for. This stands in for the
# binary (RAY_SERVE_HAPROXY_BINARY_PATH), changes the configuration, and becomes HAProxy.
#
# * Statistics and metrics, which have no authentication, listen on loopback; the control socket is
#   its owner's alone.
# * A client has 10 seconds for its request. One that is slow, or stalls, has its connection and
#   nothing else: a replica hears of a request when it is whole (up to a buffer of 32 KiB).
# * What HAProxy answers itself is a problem body, too, and so is what is plain text, which we never
#   send: the refusals of the replica's web server (400, 403), and whatever Serve says where no
#   replica or no application is there. That is 503; Serve's 404 would tell clients to give up.
# * Too many headers, and bodies that say they are too long, are refused here, so that they cost no
#   replica's time. What HAProxy cannot parse, or has no room for, it refuses with its own page.
# * A replica's machine that has not acknowledged what it was sent for 5 seconds is gone, and so is one
#   that has, and gives no sign of life for as long while it works on it: without that, a request
#   waits for as long as its client does.
# * Serve's own paths (/-/…, however they are encoded) say nothing to strangers, and clients cannot send the headers that
#   Serve takes for its own.
# * Where replicas have more to do than they can, what comes is refused here and at once: it costs
#   no replica's time, so whoever was accepted does not wait for those who were not. A replica works
#   on 512 writes at most, and on 1,000 requests in all: statuses, which come from RAM, go on where
#   writes wait for the database.
# * Only errors are logged: a line a request is what nobody hears by default, and costs the sending.
answers="$(dirname "$0")/answers_of_haproxy"
global="\\
    # guarded\\
    tune.http.maxhdr 500"
defaults="\\
    timeout http-request 10s\\
    timeout http-keep-alive 60s\\
    option http-buffer-request\\
    option dontlog-normal\\
    option srvtcpka\\
    srvtcpka-idle 2s\\
    srvtcpka-intvl 1s\\
    srvtcpka-cnt 3\\
    errorfile 400 $answers/400.http\\
    errorfile 408 $answers/408.http\\
    errorfile 413 $answers/413.http\\
    errorfile 500 $answers/500.http\\
    errorfile 502 $answers/503.http\\
    errorfile 503 $answers/503.http\\
    errorfile 504 $answers/503.http"
plain="{ res.hdr(content-type) -m beg text/plain }"
frontend="\\
    http-request return errorfile $answers/401.http if { path,url_dec -m beg /-/ }\\
    http-request return errorfile $answers/413.http if { req.fhdr_cnt gt 100 }\\
    http-request return errorfile $answers/413.http if { req.body_size gt 1048576 }\\
    http-request del-header x-request- -m beg\\
    http-request del-header serve_multiplexed_model_id\\
    http-request del-header serve-multiplexed-model-id\\
    http-request del-header x-session-id\\
    http-request del-header traceparent\\
    http-request del-header tracestate\\
    http-response return errorfile $answers/400.http if { status 400 403 } $plain\\
    http-response return errorfile $answers/503.http if $plain"
refusal="status 503 content-type application/problem+json file $answers/overloaded.json"
refusal="http-request return $refusal hdr Retry-After 1 hdr Cache-Control no-cache"
limits="\\
    stick-table type integer size 16 store conn_cur\\
    http-request set-var(txn.replicas) nbsrv\\
    http-request track-sc0 int(1) if !METH_GET\\
    $refusal if { sc0_conn_cur,div(txn.replicas) gt 512 }\\
    $refusal if { be_conn,div(txn.replicas) gt 1000 }"
backend="    http-request return errorfile $answers/400.http if !{ path_beg / }\\
    http-request return errorfile $answers/503.http"
previous=
for argument in "$@"; do
    if [ "$previous" = "-f" ] && ! grep -q '# guarded' "$argument"; then
        sed -i -e '/^frontend http_frontend/,/^ *bind/! s/^\( *bind \)[*]\{0,1\}:/\1127.0.0.1:/' \
            -e 's/mode 666 level admin/mode 600 level admin/' \
            -e 's/^ *server [^ ]* [^ ]* check/& tcp-ut 5s/' \
            -e '/^ *timeout http-/d' \
            -e '/^ *errorfile /d' \
            -e "s|^global *\$|&$global|" \
            -e "s|^ *option httplog.*|&$defaults|" \
            -e "/^frontend http_frontend/,/^ *bind/ s|^ *bind .*|&$frontend|" \
            -e "s|^ *http-reuse always.*|&$limits|" \
            -e "/^backend default_backend/,/return/ s|^ *http-request return .*|$backend|" "$argument"
    fi
    previous=$argument
done
exec "$ALLOTMENT_HAPROXY_BINARY" "$@"
