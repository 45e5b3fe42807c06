#!/bin/sh
# Run a command that installs packages, while no package may start a service.
#
#   without_services.sh POLICY SERVICE[,SERVICE...] COMMAND [ARGUMENT...]
#
# POLICY is the file that invoke-rc.d asks (/usr/sbin/policy-rc.d); whatever is there is put aside meanwhile, and back
# at the end, also when the command fails or is interrupted. What a killed run left aside is put back by the next one.
# After a success the services are kept from starting at boot.
set -u
policy=$1 services=$2
shift 2
aside=$policy.accept-aside
mark='# put here by accept for the time of an installation'

ours() { [ -f "$policy" ] && grep -qxF "$mark" "$policy"; }
restore() {
    if ours; then rm -f "$policy"; fi
    if [ -e "$aside" ] || [ -L "$aside" ]; then mv -f "$aside" "$policy"; fi
}
trap restore EXIT
restore
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$aside" || exit; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy" || exit

# In the background, so that a signal is heard at once; it is passed on and the command's end waited for.
DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 "$@" </dev/null &
command=$!
trap 'kill -TERM "$command" 2>/dev/null' INT TERM HUP
wait "$command"
status=$?
while kill -0 "$command" 2>/dev/null; do wait "$command"; status=$?; done
if [ "$status" -eq 0 ] && command -v update-rc.d >/dev/null; then
    for service in $(echo "$services" | tr , ' '); do update-rc.d "$service" disable >/dev/null 2>&1; done
fi
exit "$status"
