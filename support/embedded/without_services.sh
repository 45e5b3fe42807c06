#!/bin/sh
# Run a command that installs packages, without letting any package start a service.
#
#   without_services.sh POLICY SERVICE[,SERVICE...] COMMAND [ARGUMENT...]
#
# POLICY is the file that invoke-rc.d asks (/usr/sbin/policy-rc.d). An existing one is moved aside and restored at the
# end, even when the command fails or is interrupted. If a run is killed, the next one restores it. After a successful
# installation the services are disabled, so that they do not start at boot either.
set -u
policy=$1 services=$2
shift 2
aside=$policy.accept-aside
mark='# put here by accept during an installation'

ours() { [ -f "$policy" ] && grep -qxF "$mark" "$policy"; }
restore() {
    if ours; then rm -f "$policy"; fi
    if [ -e "$aside" ] || [ -L "$aside" ]; then mv -f "$aside" "$policy"; fi
}
trap restore EXIT
restore
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$aside" || exit; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy" || exit

# In the background, so that a signal is handled at once: pass it on, then wait for the command to end.
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
