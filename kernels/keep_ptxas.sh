# Runs a compiler; what ptxas -v says goes to OBJECT.ptxas, everything else to stderr as before.
# keep_ptxas.sh COMPILER ... -o OBJECT ...
object=
previous=
for argument; do
    [ "$previous" = -o ] && object=$argument
    previous=$argument
done
[ -n "$object" ] || exec "$@"

"$@" 2>"$object.ptxas"
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.ptxas" >&2
exit $status
