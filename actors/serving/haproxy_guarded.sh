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
#   Serve takes for its own. A caller's traceparent comes under a name of ours, which only we read.
# * Where replicas have more to do than they can, what comes is refused here and at once: it costs
#   no replica's time, so whoever was accepted does not wait for those who were not. A replica works
#   on 512 writes at most, and on 1,000 requests in all: statuses, which come from RAM, go on where
#   writes wait for the database.
# * One source has 2,048 connections at most (ALLOTMENT_CONNECTIONS_PER_SOURCE; 0: as many as there are), so that
#   idle ones are nobody else's loss; of IPv6 a source is a network of 64 bits. And after an answer without a
#   key, or to a wrong one, the connection is closed.
# * One key begins 100 event streams at once, and any other token 10, for each replica: what is more is
#   refused here. It would be refused by a replica, too, but who asks again and again has its time.
# * HTTP/2 in clear text is refused: each of a connection's 100 streams would get a buffer before any key
#   is looked at. No more than two buffers a connection are ever there.
# * A configuration in which one of all this has found no place, since Serve writes another one now, is
#   not used: the guard says what is missing, and HAProxy is not started.
# * The folder of its configuration, its sockets and its logs is its owner's alone.
# * Only errors are logged: a line a request is what nobody hears by default, and costs the sending. No line
#   has a query: stream tokens stand there.
answers="$(dirname "$0")/answers_of_haproxy"
global="\\
    # guarded\\
    tune.http.maxhdr 500\\
    tune.buffers.limit BUFFERS"
logged="%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %HM %HPO"
defaults="    log-format \"$logged\"\\
    timeout http-request 10s\\
    timeout http-keep-alive 60s\\
    option http-buffer-request\\
    option dontlog-normal\\
    option disable-h2-upgrade\\
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
source="sc1_conn_cur gt ${ALLOTMENT_CONNECTIONS_PER_SOURCE:=2048}"
bounded="\\
    stick-table type ipv6 size 100k expire 1m store conn_cur\\
    tcp-request connection track-sc1 src,ipmask(32,64)\\
    tcp-request connection reject if { $source }"
[ "$ALLOTMENT_CONNECTIONS_PER_SOURCE" = 0 ] && bounded=
traced="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\$"
frontend="$bounded\\
    http-request return errorfile $answers/401.http if { path,url_dec -m beg /-/ }\\
    http-request return errorfile $answers/413.http if { req.fhdr_cnt gt 100 }\\
    http-request return errorfile $answers/413.http if { req.body_size gt 1048576 }\\
    http-request del-header x-request- -m beg\\
    http-request del-header serve_multiplexed_model_id\\
    http-request del-header serve-multiplexed-model-id\\
    http-request del-header x-session-id\\
    http-request del-header x-allotment-traceparent\\
    http-request set-header x-allotment-traceparent %[req.hdr(traceparent)] if { req.hdr(traceparent) -m reg $traced }\\
    http-request del-header traceparent\\
    http-request del-header tracestate\\
    http-request set-var(txn.shown) int(1) if { req.hdr(authorization) -m found }\\
    http-after-response set-header Connection close if !{ var(txn.shown) -m found }\\
    http-after-response set-header Connection close if { status 401 }\\
    http-response return errorfile $answers/400.http if { status 400 403 } $plain\\
    http-response return errorfile $answers/503.http if $plain"
refusal="status 503 content-type application/problem+json file $answers/overloaded.json"
refusal="http-request return $refusal hdr Retry-After 1 hdr Cache-Control no-cache"
too_many="status 429 content-type application/problem+json file $answers/too_many_streams.json"
too_many="http-request return $too_many hdr Retry-After 5 hdr Cache-Control no-cache"
stream="{ path /events /events/ } { req.hdr(authorization) -m found }"
limits="\\
    stick-table type integer size 16 store conn_cur\\
    http-request set-var(txn.replicas) nbsrv\\
    http-request track-sc2 req.hdr(authorization),xxh64 table streams if $stream\\
    $too_many if $stream { sc2_conn_cur(streams),div(txn.replicas) gt 100 }\\
    $too_many if $stream { sc2_conn_cur(streams),div(txn.replicas) gt 10 } !{ req.hdr(authorization) -m sub allot_ }\\
    http-request track-sc0 int(1) if !METH_GET\\
    $refusal if { sc0_conn_cur,div(txn.replicas) gt 512 }\\
    $refusal if { be_conn,div(txn.replicas) gt 1000 }"
backend="    http-request return errorfile $answers/400.http if !{ path_beg / }\\
    http-request return errorfile $answers/503.http"

table="backend streams\\
    stick-table type string len 24 size 100k expire 1m store conn_cur"

refuse() {
    echo "allotment: HAProxy is not started, since Serve configures it otherwise than is known: $1" >&2
    exit 1
}

# Nobody else may write into the folder of the configuration, nor put another one in its place.
check_folder() {
    folder=$(dirname "$file")
    safe=$(find "$(dirname "$folder")" -maxdepth 0 \( -user "$(id -u)" -o -user 0 \) \
        \( -perm -1000 -o ! -perm /022 \))
    if [ -z "$safe" ] || [ -L "$folder" ] || [ ! -O "$folder" ] || ! chmod 700 "$folder"; then
        echo "allotment: HAProxy is not started, since $folder is another user's, or may be made so" >&2
        exit 1
    fi
}

# There must be a line like this; the second argument is what protects nobody without it.
must() {
    grep -Eq -e "$1" "$file" || refuse "$2"
}

# Every line like the first must be like the second.
each() {
    [ "$(grep -Ec -e "$1" "$file")" -eq "$(grep -Ec -e "$2" "$file")" ] || refuse "$3"
}

check() {
    must '^ *tune\.buffers\.limit [1-9][0-9]*$' "memory has no bound"
    must '^ *tune\.http\.maxhdr 500$' "headers have no bound"
    must '^ *log-format ".* %HM %HPO"$' "addresses are logged whole"
    each '^ *(option httplog|log-format |error-log-format )' '^ *log-format ".* %HM %HPO"$' "another log"
    must '^ *option disable-h2-upgrade$' "HTTP/2 in clear text is taken"
    must '^ *timeout http-request 10s$' "requests have no time limit"
    each '^ *timeout http-' '^ *timeout http-(request 10s|keep-alive 60s)$' "another time limit"
    must '^ *option http-buffer-request$' "requests are not waited for"
    [ -z "$bounded" ] || must "^ *tcp-request connection reject if \{ $source \}\$" "connections of a source"
    must '^ *http-after-response set-header Connection close if !' "who shows no key stays connected"
    must '^ *http-after-response set-header Connection close if \{ status 401 \}$' "nor a wrong one"
    must '^ *option srvtcpka$' "lost machines are not noticed"
    must '^ *stats socket ' "there is no control socket"
    each '^ *stats socket ' '^ *stats socket .* mode 600 level admin' "the control socket is anybody's"
    must '^ *http-request return errorfile .*/413\.http if \{ req\.fhdr_cnt gt 100 \}$' "headers"
    must '^ *http-request return errorfile .*/413\.http if \{ req\.body_size gt ' "bodies have no bound"
    must '^ *http-request del-header x-request- -m beg$' "headers of Serve's own"
    must '^ *http-request del-header traceparent$' "traces of Serve's own"
    must '^ *http-request del-header x-allotment-traceparent$' "and of ours"
    must '^ *http-response return errorfile .*/503\.http if ' "answers that are not ours"
    must '^ *errorfile 503 ' "pages of errors"
    each '^ *errorfile ' "^ *errorfile [0-9]+ $answers/" "another page of errors"
    must '^ *http-request return errorfile .*/503\.http$' "where no application is there"
    each '^(frontend|listen) ' '^(frontend (prometheus|http_frontend)|listen stats) *$' "a listener"
    each '^ *server ' '^ *server .* tcp-ut 5s' "a server's loss is not noticed"
    known='^backend (default_backend|streams) *$'
    each '^backend ' "$known|sc2_conn_cur\(streams\),div\(txn\.replicas\) gt 10 " "streams of one have no bound"
    each '^backend ' "$known|sc0_conn_cur,div\(txn\.replicas\) gt 512" "writes at once have no bound"
    each '^backend ' "$known|be_conn,div\(txn\.replicas\) gt 1000" "requests at once have no bound"
    sed -n '/^frontend http_frontend/,/^ *bind/!s/^ *bind //p' "$file" | grep -qv '^127\.0\.0\.1:' &&
        refuse "statistics are anybody's"
    first=$(sed -n '/^frontend http_frontend/,/^backend/p' "$file" | grep -m 1 '^ *http-request ')
    case "$first" in
    *"/401.http if { path,url_dec -m beg /-/ }") ;;
    *) refuse "Serve's own paths are anybody's" ;;
    esac
}

previous=
for argument in "$@"; do
    if [ "$previous" = "-f" ]; then
        file=$argument
        check_folder
        if ! grep -q '# guarded' "$file"; then
            connections=$(sed -n 's/^ *maxconn \([0-9]*\)$/\1/p' "$file" | head -n 1)
            buffers=$((2 * ${connections:-0}))
            sed -i -e '/^frontend http_frontend/,/^ *bind/! s/^\( *bind \)[*]\{0,1\}:/\1127.0.0.1:/' \
                -e 's/mode 666 level admin/mode 600 level admin/' \
                -e 's/^ *server [^ ]* [^ ]* check/& tcp-ut 5s/' \
                -e '/^ *timeout http-/d' \
                -e '/^ *errorfile /d' \
                -e "s|^global *\$|&$global|" \
                -e "s|^ *option httplog.*|$defaults|" \
                -e "/^frontend http_frontend/,/^ *bind/ s|^ *bind .*|&$frontend|" \
                -e "s|^ *http-reuse always.*|&$limits|" \
                -e "/^backend default_backend/,/return/ s|^ *http-request return .*|$backend|" "$file" &&
                sed -i -e "s|BUFFERS\$|$buffers|" -e "s|^backend default_backend|$table\\n&|" "$file" || exit 1
        fi
        check
    fi
    previous=$argument
done

# HAProxy ends with Serve's process that started it, however that ends: it would hold the port. Not
# every system has a command for that.
ends=
if command -v setpriv >/dev/null 2>&1; then
    ends="setpriv --pdeathsig TERM"
fi
exec $ends "$ALLOTMENT_HAPROXY_BINARY" "$@"
