# All that is ever done on a user's host, in POSIX sh. Nothing is installed there: this text goes to `sh -s` over standard
# input, followed by the variables and the one call of `main` that is wanted. It needs /proc, and neither ps nor Python.
#
# A fault that lasts is a *host fault* with a directory in $RUN: its undo, its beat, its guard. The undo is written, and the
# guard is running, before anything is done. The guard undoes the fault when no beat has come for $GRACE seconds, or
# when it is $LONGEST seconds old, whatever became of the session or of whoever opened it. A reboot empties /run, and
# with it all that a fault consists of, unless it has changed what is on a disk. What was there before is kept on the
# same disk, as NAME.accept-ID beside what replaced it, and $KEPT/ID says where: whoever heals finds it after a reboot.
set -u
TRIES=120
STAYS=6 # seconds; a receiver that finds no server, or not what it needs, exits at once and is restarted
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH
OWN_LINE=${SSH_CONNECTION:-${1:-}} NO_SUDO=${2:-}

refuse() { echo "refused: $*"; exit 65; }
uptime() { read -r up _ < /proc/uptime; echo "${up%%.*}"; }
mark() { eval "${MARK:-cat /etc/accept-breakable}" 2>/dev/null | tr -d ' \t' | sed '/^$/d;/^#/d'; }
stat_of() { # PID: sets $name, $state, $parent and $started; fails if there is no such process
  read -r line 2>/dev/null < "/proc/$1/stat" || return 1
  name=${line#*\(}; rest=${name##*) }; name=${name%)*}
  set -- $rest; [ $# -ge 20 ] || return 1 # a name with a line break in it
  state=$1; parent=$2; started=${20}
}

# --- Looking

look() { # what this host is, a "key<tab>value" each
  say() { printf '%s\t%s\n' "$1" "$2"; }
  say uid "$(id -u)"; say name "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"; say line "$OWN_LINE"
  [ -z "$NO_SUDO" ] || say sudo "$(printf '%s\n' "$NO_SUDO" | tail -n 1)"
  mark | while read -r scope; do say mark "$scope"; done
  addresses | while read -r one; do say address "$one"; done
  read -r init < /proc/1/comm; say init "$init"
  [ ! -d /run/systemd/system ] || say systemd yes
  say run "$RUN"
  cutters | while read -r one; do say cutter "$one"; done
  for tool in bash python3 nc journalctl; do command -v $tool >/dev/null 2>&1 && say tool $tool; done
  watched | sort -u | while read -r one; do say watchdog "$one"; done
  left | while read -r one; do say left "$one"; done
  at_work | while read -r one; do say busy "$one"; done
}
watched() { # name and id of every process that has a watchdog open, which resets the machine unless it is fed
  ls -ln /proc/[0-9]*/fd 2>/dev/null | sed -n 's|^/proc/\([0-9]*\)/fd:$|\1|p;s|.* -> .*/dev/watchdog.*|open|p' | while read -r one; do
    if [ "$one" != open ]; then pid=$one; elif stat_of "$pid"; then echo "$name $pid"; fi
  done
}
addresses() { # its own, one per line, including a virtual one that it has now
  { ip -o addr show scope global 2>/dev/null | sed 's/.* inet6* \([^ /]*\).*/\1/'
    hostname -I 2>/dev/null | tr ' ' '\n'; } | sed '/^$/d' | sort -u
}
cutters() { # what can cut links here, a word a line
  echo 'table inet accept_probe { }' | ${NET:-} nft -c -f - >/dev/null 2>&1 && echo nft
  ${NET:-} iptables -w 5 -t raw -nL >/dev/null 2>&1 && echo iptables
  return 0
}
table() { # every process: pid, start, state, parent, name, service and title, with tabs in between
  kernel=; stat_of 2 && [ "$name" = kthreadd ] && kernel=2 # in a container, 2 may be anything
  contained=" $(grep -s '^NSpid:[[:space:]]*[0-9][0-9]*[[:space:]][[:space:]]*[0-9]' /proc/[0-9]*/status | # it has ids of its own
    sed 's|^/proc/\([0-9]*\)/.*|\1|' | tr '\n' ' ')"
  for d in /proc/[0-9]*; do
    pid=${d#/proc/}; stat_of "$pid" || continue
    [ "$parent" != "$kernel" ] && [ "$pid" != "$kernel" ] || continue
    service= group=
    while read -r one; do
      case $one in *:/) ;; *) group=${one#*:*:};; esac
      case $one in # a user's units are not those of the systemd that we ask
        *:/user.slice/*) ;; *.service|*.scope|*docker*) service=${one##*/};;
      esac
    done 2>/dev/null < "$d/cgroup"
    case $contained in *" $pid "*)
      case $group in /system.slice/*.service) ;; *) service=container:$group;; esac;; # a unit can have PrivatePIDs=
    esac
    printf '%s\t%s\t%s\t%s\t%s\t%s\t' "$pid" "$started" "$state" "$parent" "$name" "$service"
    tr '\0\n\t' '   ' 2>/dev/null < "$d/cmdline"; echo
  done
}
where() { # PID...: the executable and the working directory
  for pid; do for link in exe cwd; do printf '%s\t%s\t%s\n' "$pid" "$link" "$(readlink "/proc/$pid/$link")"; done; done
}
behind_network() { # FOLDER...: the storage of this host, or of these folders, that is lost with the network, one a line
  { for one in /sys/class/iscsi_session/*; do [ ! -e "$one" ] || echo iSCSI; done
    for one in /sys/class/nvme/*/transport; do
      read -r how 2>/dev/null < "$one" || continue
      [ "$how" != tcp ] || echo "NVMe over TCP"
    done
    for one in /sys/bus/rbd/devices/*; do [ ! -e "$one" ] || echo "Ceph RBD"; done
    for one in /sys/block/nbd*/pid; do [ ! -e "$one" ] || echo NBD; done
    for one in /sys/block/drbd*; do [ ! -e "$one" ] || echo DRBD; done
    for folder; do
      source=$(df -P "$folder" 2>/dev/null | sed -n '2s/ .*//p')
      case $source in //*|*:/*|*=/*) echo "$source";; esac # of SMB; of NFS, GlusterFS and CephFS
    done; } | sort -u
}
resolved() { # HOST...: each, and an address that it leads to from here, a line each
  for host; do
    { getent ahosts "$host" || getent hosts "$host" || { [ -n "${PYTHON:-}" ] && "$PYTHON" -c 'import socket, sys
for one in socket.getaddrinfo(sys.argv[1], None): print(one[4][0])' "$host"; }; } 2>/dev/null |
      while read -r address _; do printf '%s\t%s\n' "$host" "$address"; done
  done | sort -u
}
tunnels() { # ADDRESS: "device" and the tunnel that ends here and leads there; "encrypted" and each network that IPsec leads to
  device=$(ip -o route get "$1" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  if [ "$device" ]; then
    case "$(ip -o -d link show dev "$device" 2>/dev/null || ip link show dev "$device") $(cat "/sys/class/net/$device/uevent")" in
      *' vxlan '*|*' geneve '*|*' gretap '*|*' ip6gretap '*|*' l2tp '*|*' tun type '*|*DEVTYPE=vxlan*|*DEVTYPE=geneve*) echo "device $device";;
      *' link/ether '*|*' link/infiniband '*|*' link/loopback '*) [ ! -e "/sys/class/net/$device/tun_flags" ] || echo "device $device";;
      *' link/'*) echo "device $device";;
    esac 2>/dev/null
  fi
  ip xfrm policy list dir out 2>/dev/null | { net= how=
    while read -r word _ _ to _; do
      case $word in
        src) [ -z "$net" ] || [ -z "$how" ] || echo "encrypted $net"; net=$to how=;; # src NETWORK dst NETWORK
        tmpl) how=yes;;
        mark|if_id) net=;; # that of a device
      esac
    done; [ -z "$net" ] || [ -z "$how" ] || echo "encrypted $net"; }
}
logged() { # PID...: the files to which these log: id, device and inode, path; a ? where we may not see what one has open
  for pid; do
    [ -n "$(readlink "/proc/$pid/exe")" ] || { printf '%s\t?\t\n' "$pid"; continue; }
    for fd in /proc/"$pid"/fd/*; do
      [ -f "$fd" ] || continue
      file=$(readlink "$fd")
      case ${fd##*/} in
        1|2) ;;
        *) # one that was opened to be appended to, and is no data: a Redis appends to its own as well
          case ${file##*/} in *[Ll][Oo][Gg]*) ;; *) continue;; esac
          flags=$(sed -n 's/^flags:[^0-9]*//p' "/proc/$pid/fdinfo/${fd##*/}")
          [ $((${flags:-0} & 02000)) != 0 ] && [ $((${flags:-0} & 3)) != 0 ] || continue;;
      esac
      [ -e "$file" ] || file=$fd # it was removed, perhaps packed by a rotation, and is still written to
      printf '%s\t%s\t%s\n' "$pid" "$(stat -L -c %d:%i "$fd")" "$file"
    done
  done 2>/dev/null
}
sizes() { # FOLDER [NAME]: size, device and inode of each file in it, the one that was written to last at the end
  ls -tr "$1" 2>/dev/null | while IFS= read -r file; do # with a NAME only of that log, and of what a rotation makes of it
    case $file in *.gz|*.bz2|*.xz|*.zst) continue;; "${2:-$file}"|"${2:-}"[.-][0-9]*|"${2:-}".old) ;; *) continue;; esac
    [ ! -f "$1/$file" ] || printf '%s\t%s\n' "$(stat -L -c '%s %d:%i' "$1/$file" | tr ' ' '\t')" "$1/$file"
  done
}
tail_of() { # FILE BYTES: what follows the first so many bytes; all of a file that is shorter by now, and so was begun anew
  if [ "$(wc -c 2>/dev/null < "$1" || echo 0)" -lt "$2" ]; then cat "$1" 2>/dev/null; else tail -c "+$(($2 + 1))" "$1" 2>/dev/null; fi
}
probe() { # SECONDS ADDRESS,PORT...: whether anything answers there, all at once
  patience=$1; shift
  for one; do
    ( host=${one%,*} port=${one#*,}
      if command -v bash >/dev/null && command -v timeout >/dev/null; then
        said=$(${NET:-} timeout "$patience" bash --norc -c 'exec 3<>/dev/tcp/"$0"/"$1"' "$host" "$port" 2>&1) && said=open || said="$? $said"
      elif [ -n "${PYTHON:-}" ]; then
        said=$(${NET:-} "$PYTHON" -c 'import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])); print("open")
except ConnectionRefusedError: print("refused")
except TimeoutError: print("124")
except OSError as error: print(error)' "$host" "$port" "$patience" 2>&1)
      elif command -v nc >/dev/null; then ${NET:-} nc -z -w "$patience" "$host" "$port" >/dev/null 2>&1 && said=open || said=124
      else said=untried; fi
      case $said in open|*refused*) said=answers;; 124*) said=silent;; esac
      printf '%s\t%s\n' "$one" "$said" ) &
  done
  wait
}
knock() { # TIMES ADDRESS,PORT...: that many connections to each, at once, for the packets that this takes
  times=$1; shift
  while [ "$times" -gt 0 ]; do probe 2 "$@" >/dev/null & times=$((times - 1)); done
  wait
}

# --- Faults

breakable() { # the second key: without this host's own mark nothing is done to it
  [ -n "${SCOPE:-}" ] || refuse "no scope was given"
  mark | grep -qxF -- "$SCOPE" || refuse "this host is not marked as breakable for the scope $SCOPE"
}
born() { # what is another when this host, or the container that a fault is in, is started anew
  if [ "${BORN:-}" ]; then eval "$BORN" 2>/dev/null
  else stat_of 1 && echo "$started $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"; fi
}
begin() { # ID: the directory of a fault, whose undo is written before what it undoes
  breakable
  mkdir -p -m 700 "$RUN" || refuse "$RUN cannot be made"
  for one in "$RUN"/*/owner; do
    [ ! -e "$one" ] || [ "$(cat "$one")" = "$OWNER" ] || refuse "another run has put a fault on this host: $one"
  done
  D=$RUN/$1
  for one in "$RUN"/*/dead; do # what nobody makes any more
    [ ! -e "$one" ] || [ -e "${one%dead}owner" ] || ! read -r since < "$one" || ! is_past "$since" || rm -rf "${one%/dead}"
  done
  mkdir "$D" 2>/dev/null || { still; refuse "the fault $1 is there already, or $RUN is full"; }
  MINE=$D
  { printf '%s\n' "$OWNER" > "$D/owner" && uptime > "$D/beat" && { born || :; } > "$D/born" &&
    printf '%s\nexport PATH=%s\n%s\nfailed=0\n' "${EXPORTS:-}" "$(quoted "$PATH")" "$(home)" > "$D/undo"; } 2>/dev/null || {
    rm -rf "${D:?}"; refuse "$RUN is full: nothing that is done could be undone"; }
}
home() { [ -z "${HOME:-}" ] || printf 'export HOME=%s' "$(quoted "$HOME")"; } # a guard under systemd has neither HOME nor our PATH
is_past() { now=$(uptime); [ "$now" -lt "$1" ] || [ $((now - $1)) -gt 3600 ]; } # UPTIME: of an hour ago, or of before a reboot
still() { # right before it is done: whoever asked for it may have given up since, and had it healed
  [ -e "$D/dead" ] || [ -e "$D/expired" ] || return 0
  heal "${D##*/}" >/dev/null; refuse "the fault ${D##*/} was healed before it began"
}
settle() { # after it was done: the same
  D=${MINE:-}; [ "$D" ] || return 0
  [ -e "$D/dead" ] || [ -e "$D/expired" ] || return 0
  heal "${D##*/}" >/dev/null; [ ! -e "$D/undo" ] || sh "$D/undo" >/dev/null 2>&1
  refuse "the fault ${D##*/} was healed while it began"
}
undo_by() { # TEXT: one more thing that ends this fault; it must be harmless when repeated
  printf '{ %s\n} || failed=1\n' "$1" >> "$D/undo" 2>/dev/null || { rm -rf "${D:?}"; refuse "$RUN is full: nothing was done"; }
}
lasts_by() { # TEXT: a command that fails if somebody else has ended this fault; asked before it is undone for the first time
  { printf '%s\n' "$1" >> "$D/lasts"; } 2>/dev/null || { heal "${D##*/}" >/dev/null; refuse "$RUN is full: it was undone again"; }
}
# Who heals a fault, in its directory: one at a time, and the lock names its holder. One that is gone is succeeded.
TAKE='take() {
  read -r line < /proc/$$/stat || return 1; set -- ${line##*) }; me=$$:${20}
  ln -s $me healing 2>/dev/null && return
  held=$(readlink healing) || return 1
  if read -r line 2>/dev/null < /proc/${held%%:*}/stat; then
    set -- ${line##*) }; [ "$1" = Z ] || [ "${20}" != "${held#*:}" ] || return 1
  fi
  mv healing stale.$$ 2>/dev/null || return 1
  if [ "$(readlink stale.$$)" != "$held" ]; then mv stale.$$ healing; return 1; fi
  rm -f stale.$$; ln -s $me healing 2>/dev/null
}'
eval "$TAKE"
guard() { # from now on it ends by itself; an undo that fails is tried again for ten minutes
  { echo 'exit $failed' >> "$D/undo" && cat > "$D/guard" <<GUARD
cd "$D" || exit
$TAKE
read -r up _ < /proc/uptime; latest=\$((\${up%%.*} + $LONGEST))
tries=$TRIES
while [ -e beat ]; do
  sleep 1
  read -r up _ < /proc/uptime && read -r beat < beat || continue
  up=\${up%%.*}
  [ \$((up - beat)) -ge $GRACE ] || [ \$up -ge \$latest ] || continue
  echo "\$up" > expired; take || continue
  if sh ./undo > healed 2>&1; then rm -f healing; exit; fi
  rm -f healing; tries=\$((tries - 1)); [ \$tries -gt 0 ] || exit
  sleep 4
done
GUARD
  } 2>/dev/null || { rm -rf "${D:?}"; refuse "$RUN is full: nothing was done"; }
  sh -n "$D/undo" 2>/dev/null || { rm -rf "${D:?}"; refuse "what would undo it cannot be read by sh: nothing was done"; }
  if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null &&
    systemd-run --quiet --collect --property=KillMode=process --unit="accept-guard-${D##*/}" sh "$D/guard" 2>/dev/null; then return; fi
  if command -v setsid >/dev/null; then setsid sh "$D/guard" </dev/null >/dev/null 2>&1 &
  else ( trap '' HUP; exec sh "$D/guard" ) </dev/null >/dev/null 2>&1 & fi
}
beat() { # ID...: whoever made these faults is there
  for id; do
    D=$RUN/$id
    if [ ! -e "$D/owner" ]; then echo "gone $id"
    elif [ -e "$D/expired" ]; then echo "expired $id"
    else
      uptime > "$D/beat.new" && mv "$D/beat.new" "$D/beat"
      [ -e "$D/owner" ] || rm -f "$D/beat" # healed meanwhile, so its guard should end
    fi
  done
}
heal() { # ID...: undo these faults; harmless for one that is not there
  for id; do
    D=$RUN/$id; [ -e "$D/owner" ] || { bury; heal_unrecorded "$id"; continue; }
    tries=25; until ( cd "$D" 2>/dev/null && take ); do
      tries=$((tries - 1)); [ -e "$D/owner" ] && [ $tries -gt 0 ] || break
      sleep 1
    done
    [ -e "$D/owner" ] || { echo "gone $id"; continue; } # somebody else has healed it
    [ $tries -gt 0 ] || { echo "failed $id somebody else is healing it"; continue; }
    [ ! -e "$D/expired" ] || echo "expired $id"
    [ -e "$D/healed" ] || [ ! -e "$D/lasts" ] || sh "$D/lasts" >/dev/null 2>&1 || : > "$D/ended"
    [ ! -e "$D/ended" ] || echo "ended $id"
    [ ! -e "$D/lasts" ] || excuse $(sed -n 's|.* /proc/\([0-9]*\)/stat .*|\1|p' "$D/lasts")
    [ "$(born)" = "$(cat "$D/born")" ] || echo "restarted $id"
    bury
    if sh "$D/undo" > "$D/healed" 2>&1; then
      [ ! -e "$D/lost" ] || echo "lost $id"
      for one in "$D"/*; do case ${one##*/} in dead|undo|owner) ;; *) rm -f "$one";; esac; done
      rm -f "$D/owner"; rm -f "$D/beat" "$D/beat.new" # a beat may have come in between
      rmdir "$KEPT" 2>/dev/null; continue
    fi
    echo "failed $id $(tr '\n' ' ' < "$D/healed")"; uptime > "$D/beat"; rm -f "$D/healing" # its guard leaves time for another try
  done
}
bury() { # whoever still makes this fault, in a session that was given up, is to stop
  mkdir -p -m 700 "$RUN" && mkdir -p "$D" && uptime > "$D/dead"
} 2>/dev/null
left() { # the faults that are there, and what is left of those whose record is lost
  { for one in "$RUN"/*/owner; do [ ! -e "$one" ] || { one=${one%/owner}; echo "${one##*/}"; }; done
    rules; on_disk | while read -r id _; do echo "$id"; done; } | sort -u
}

at_work() { # the faults for which a run answers: its beat is no older than the guard allows
  for one in "$RUN"/*/owner; do
    D=${one%/owner}
    [ -e "$one" ] && [ ! -e "$D/expired" ] && [ ! -e "$D/dead" ] && read -r since 2>/dev/null < "$D/beat" || continue
    age=$(($(uptime) - since)); [ $age -lt 0 ] || [ $age -ge "${GRACE:-0}" ] || echo "${D##*/}"
  done
}

# --- What outlives its record in /run: a reboot empties that, and a container may have had it that is gone

rules() { # [CUTTER]: the faults whose rules cut links here, by that cutter or by any
  [ "${RULES:-}" != none ] || return 0 # this network is not that of the host that is meant
  tables=$(${NET:-} nft list tables 2>/dev/null) && { [ "${1:-nft}" != nft ] ||
    echo "$tables" | sed -n 's/^table inet accept_\([0-9a-f]\{8\}\)$/\1/p'; } || tables=raw
  [ "${1:-iptables}" = iptables ] || return 0
  case "$tables $(${NET:-} cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null)" in # listing one makes it
    *raw*) for one in iptables ip6tables; do
      ${NET:-} $one -w 5 -t raw -S 2>/dev/null | sed -n 's/^-N accept_\([0-9a-f]\{8\}\)_[A-Z]*$/\1/p'
    done;;
  esac
}
on_disk() { # id, and what it has replaced, of everything that was kept beside that, on the same disk
  [ "${FILES:-}" != none ] || return 0 # the files here are not those of the processes here
  { cat "$KEPT"/* 2>/dev/null
    for one in $(grep -lsE 'patroni|^postgres' /proc/[0-9]*/cmdline); do # in case that $KEPT is lost: a container was made
      d=${one%/cmdline}                                                  # anew around its volumes
      [ ! -f "$d/cwd/PG_VERSION" ] || readlink "$d/cwd"
      tr '\0' '\n' < "$one" | while read -r word; do
        case $word in /*.yml|/*.yaml) echo "$word";; *.yml|*.yaml) echo "$(readlink "$d/cwd")/$word";; esac
      done
    done 2>/dev/null; } | sort -u | while read -r place; do
    for one in "$place".accept-????????; do
      [ ! -e "$one" ] || case ${one##*.accept-} in *[!0-9a-f]*) ;; *) echo "${one##*.accept-} $place";; esac
    done
  done
}
remember() { # ID PLACE: before anything there is replaced, and so that it is there after a reset
  mkdir -p -m 700 "$KEPT" && printf '%s\n' "$2" > "$KEPT/$1" && to_disk "$KEPT/$1" && return
  rm -rf "${D:?}"; refuse "$KEPT cannot be written: nothing was done"
}
to_disk() { sync "$1" 2>/dev/null || sync; }
also() { # TEXT: one more thing that ends it
  undo="$undo{ $1
} || failed=1
"
}
heal_unrecorded() { # ID: what is left of a fault that has no record in /run
  id=$1 place=$(on_disk | sed -n "s/^$1 //p" | head -n 1) undo= # two spellings lead to the same file
  D=$RUN/$id
  for CUTTER in nft iptables; do ! rules $CUTTER | grep -qx "$id" || also "$(uncut)"; done
  if [ -d "$place.accept-$id" ]; then also "$(undestroyed "$id" "$place")"
  elif [ "$place" ]; then also "$(unedited "$id" "$place")"
  elif [ -z "$undo" ]; then rm -f "$KEPT/$id"; echo "gone $id"; return; fi
  echo "restarted $id"
  if said=$(sh -c "failed=0
$undo exit \$failed" 2>&1); then rmdir "$KEPT" 2>/dev/null; else echo "failed $id $(echo "$said" | tr '\n' ' ')"; fi
}

# --- Faults of processes

living() { # PID:START...: sets $found to the ids of those that are still there
  found=
  for one; do stat_of "${one%:*}" && [ "$started" = "${one#*:}" ] && found="$found ${one%:*}"; done
}
signal() { # SIGNAL PID:START...: one that is gone, or another process by now, is passed over
  sig=$1; shift
  for one; do
    living "$one"; [ -n "$found" ] || continue
    [ "$sig" != KILL ] || excuse $found
    kill "-$sig" $found 2>/dev/null
  done
  return 0
}
excuse() { # PID...: we kill or resume these, so no fault that has suspended them need find them as it left them
  [ $# -gt 0 ] || return 0
  for file in "$RUN"/*/lasts; do
    [ -e "$file" ] && [ "$file" != "${D:-}/lasts" ] || continue # of the fault itself, that was asked before
    printf '/proc/%s/\n' "$@" | grep -vFf - "$file" > "$file.new"; cat "$file.new" > "$file"
  done
}
strike() { breakable; signal "$@"; } # for what needs no undo
freeze() { # ID PID:START...: suspend these until the fault is healed
  begin "$1"; shift; living "$@"; [ -n "$found" ] || { heal "${D##*/}" >/dev/null; refuse "none of these processes is there"; }
  undo_by "$(resume "$@")"; guard; still; signal STOP "$@"
  tries=20 # of a tenth of a second: a busy machine stops them a little later
  for one; do
    living "$one"
    while [ -n "$found" ] && [ $tries -gt 0 ] && case $state in [TtZX]) false;; esac; do
      tries=$((tries - 1)); sleep 0.1 2>/dev/null || sleep 1
      living "$one"
    done
    [ -z "$found" ] || lasts_by "$(suspended "$one")"
  done
}
# Neither of these two starts a program: of hundreds of processes, the last one would go on seconds after the first one.
suspended() { # PID:START: the command that fails if it was resumed since; or if it is gone, unless it MAY_DIE
  look="read -r l 2>/dev/null < /proc/${1%:*}/stat"
  case ${MAY_DIE:-}$state in
    [Tt]) echo "$look && case \$l in *') '[Tt]' '*' ${1#*:} '*) ;; *) false;; esac || exit 1";;
    *) echo "! $look || case \$l in *') '[!TtZX]' '*' ${1#*:} '*) exit 1;; esac";;
  esac
}
resume() { # PID:START...: the command that lets those go on, and no process that has got one of their ids since
  for one; do
    echo "! read -r l 2>/dev/null < /proc/${one%:*}/stat || case \$l in *' ${one#*:} '*) kill -CONT ${one%:*} 2>/dev/null;; esac"
  done; echo ":"
}
tree() { # sets $found to these processes and all their descendants
  found=" $* "; grew=yes
  while [ "$grew" ]; do
    grew=
    for d in /proc/[0-9]*; do
      pid=${d#/proc/}; case $found in *" $pid "*) continue;; esac
      stat_of "$pid" || continue
      case $found in *" $parent "*) [ "$pid" = $$ ] || { found="$found$pid "; grew=yes; };; esac
    done
  done
}
fell() { # PID:START...: kill these and their descendants at once, so that none sees another die
  living "$@"; roots=$found; before=
  tree $roots
  while [ "$found" != "$before" ]; do kill -STOP $found 2>/dev/null; before=$found; tree $found; done
  excuse $found; kill -KILL $found 2>/dev/null
  return 0
}
require_units() { # UNIT...: refuses where systemd has no such unit: it would say Restart=no of that, and not start it
  for one; do
    said=$(systemctl show -p LoadState "$one" 2>&1); [ "$said" = LoadState=loaded ] || refuse "systemd has no unit $one ($said)"
  done
}
bound_to() { # UNIT...: the units that systemd stops when one of these fails, and that it would not start again with it
  todo=$* known=" $* "
  while [ "$todo" ]; do
    next=
    for one in $todo; do
      for by in $(systemctl show -p BoundBy "$one" | sed 's/^BoundBy=//'); do
        case $known in *" $by "*) continue;; esac
        known="$known$by "
        case $(systemctl show -p ActiveState "$by") in *=active|*=activating|*=reloading) ;; *) continue;; esac
        printf '%s\n' "$by"; next="$next $by"
      done
    done
    todo=$next
  done
}
down() { # ID HOLD UNDO PID:START...: kill and keep down; HOLD and UNDO are commands
  [ -z "${ISOLATED:-}" ] || know_line
  begin "$1"; hold=$2; undo=$3; shift 3
  if [ "${ISOLATED:-}" ]; then undo_by "$(uncut)"; fi # first: a node of etcd has not started before it has reached others
  undo_by "$undo"; guard
  if [ -n "$hold" ]; then
    said=$(sh -c "$hold" 2>&1) || { heal "${D##*/}" >/dev/null; refuse "cannot be kept down: ${said:-$hold}"; }
  fi
  still; if [ "${ISOLATED:-}" ]; then isolate; cut_lasts; fi
  still; fell "$@"
}

# --- Faults of files

quoted() { printf "'"; printf '%s' "$1" | sed "s/'/'\\\\''/g"; printf "'"; } # TEXT: as one word for sh
edit() { # ID FILE PID:START TEXT: other contents for a program's file until the fault is healed; then it reads the old ones
  [ -f "$2" ] && [ -w "$2" ] && [ -w "$(dirname "$2")" ] || refuse "$2 cannot be written, or nothing beside it"
  begin "$1"; remember "$1" "$2"; k=$2.accept-$1
  undo_by "$(unedited "$1" "$2" "$3")"; guard; still
  { cp -p "$2" "$k.new" && to_disk "$k.new" && mv "$k.new" "$k" && printf '%s' "$4" > "$2"; } 2>/dev/null || {
    heal "${D##*/}" >/dev/null; refuse "there is no room for $2"; }
  lasts_by "[ \"\$(cksum < $(quoted "$2"))\" = \"$(cksum < "$2")\" ] || exit 1"
}
unedited() { # ID FILE [PID:START]: the command that gives back its old contents, and has its program read them
  f=$(quoted "$2") k=$(quoted "$2.accept-$1") who=${3:-:}
  printf '%s\n' "rm -f $k.new
if [ ! -e $k ]; then :; else cat $k > $f && { sync $f 2>/dev/null || sync; } && rm -f $k; fi && {
  rm -f $(quoted "$KEPT/$1")
  for p in /proc/[0-9]*; do
    if [ \$p = /proc/${who%:*} ] && grep -q ' ${who#*:} ' \$p/stat; then kill -HUP \${p#/proc/}; continue; fi
    read -r n < \$p/comm && case \$n in patronictl*) ;; patroni*|python*)
      case \" \$(tr '\\0' ' ' < \$p/cmdline) \" in *patronictl*) ;; *\" \"$f\" \"*) kill -HUP \${p#/proc/};; esac;;
    esac
  done 2>/dev/null; :
}"
}
undestroyable() { # DATA: why this data directory cannot be put aside; nothing if it can
  [ -f "$1/PG_VERSION" ] || { echo "$1 is not a PostgreSQL data directory"; return; }
  [ "$(stat -c %d "$1")" = "$(stat -c %d "$1/..")" ] || { echo "$1 is a mount point, which cannot be renamed"; return; }
  [ -z "$(ls -A "$1/pg_tblspc" 2>/dev/null)" ] || { echo "$1 has tablespaces, which are elsewhere"; return; }
  for one in "$1"/* "$1"/.[!.]*; do # what a copy would find there still, or put here instead
    [ ! -L "$one" ] || { echo "$one is a symbolic link, so not all of the data is in $1"; return; }
    [ ! -d "$one" ] || [ "$(stat -c %d "$one")" = "$(stat -c %d "$1")" ] || {
      echo "$one is a mount point, so not all of the data is in $1"; return; }
  done
  [ -w "$1/.." ] || { echo "what holds $1 cannot be written by us"; return; }
  [ "$(stat -c %u "$1")" = "$(stat -c %u "$1/..")" ] || echo "$1 is in a directory of another user, where no new one can be made"
}
cramped() { # DATA: why there is no room for a second copy; nothing if there is. It may take minutes to find out
  free=$(df -Pk "$1" | sed -n '2s/^[^ ]*  *[0-9]*  *[0-9]*  *\([0-9]*\).*/\1/p'); used=$(du -sk "$1" 2>/dev/null | sed 's/[^0-9].*//')
  [ "${free:-0}" -gt "${used:-0}" ] || echo "there is no room for a second copy of $1 ($used kB, free are $free kB)"
}
destroy() { # ID DATA PID:START...: put a data directory aside at once and kill these; it is kept until there is another that works
  id=$1 data=$2; shift 2
  why=$(undestroyable "$data"); [ -z "$why" ] || refuse "$why"
  begin "$id"; remember "$id" "$data"
  undo_by "$(undestroyed "$id" "$data")"
  guard; still; mv "$data" "$data.accept-$id" || { heal "$id" >/dev/null; refuse "$data cannot be renamed"; }
  signal KILL "$@"
}
undestroyed() { # ID DATA: the command that puts the old data back, or removes it if there is other data that works
  d=$(quoted "$2") k=$(quoted "$2.accept-$1") ticks=$(getconf CLK_TCK 2>/dev/null || echo 100)
  printf '%s\n' "if [ ! -d $k ]; then :
elif [ ! -e $d ] || rmdir $d 2>/dev/null; then mv $k $d
else
  works= lasting= titled= # with update_process_title off, a receiver that keeps running is one that streams
  read -r up _ < /proc/uptime
  for p in /proc/[0-9]*; do
    [ \"\$(readlink \$p/cwd)\" = $d ] || continue
    case \$(tr '\\0' ' ' < \$p/cmdline) in
      *walreceiver*streaming*|*walwriter*) works=yes;;
      *' startup '[a-z]*|*' walreceiver '[a-z]*) titled=yes;;
      *walreceiver*) read -r s < \$p/stat || continue; set -- \${s##*) }; [ \$((\${up%%.*} - \${20} / $ticks)) -lt $STAYS ] || lasting=yes;;
    esac
  done 2>/dev/null
  [ \"\$titled\" ] || works=\$works\$lasting
  if [ \$works ]; then rm -rf $k; else echo \"the old data is kept at $2.accept-$1: PostgreSQL does not stream yet\"; false; fi
fi && rm -f $(quoted "$KEPT/$1")"
}
like() { # PID: take over the variables of that process that its libpq heeds, and the defaults that these lead to
  while IFS= read -r one; do
    case ${one%%=*} in *[!A-Z0-9_]*) ;; HOME|PG*|KRB5*|SSL_CERT_*) export "$one";; esac
  done <<EOF
$(tr '\0' '\n' 2>/dev/null < "/proc/$1/environ")
EOF
  for one in PASSFILE=.pgpass SERVICEFILE=.pg_service.conf SSLROOTCERT=.postgresql/root.crt SSLCRL=.postgresql/root.crl \
    SSLCERT=.postgresql/postgresql.crt SSLKEY=.postgresql/postgresql.key; do # HOME is heeded since version 15 only
    eval "known=\${PG${one%%=*}:-}"; file=${HOME:-}/${one#*=}
    [ "$known" ] || [ ! -f "$file" ] || export "PG${one%%=*}=$file"
  done
}
with_passwords() { # LINES COMMAND...: run a command that finds these lines in a password file, which is removed again
  [ -z "${LIKE:-}" ] || like "$LIKE" # as if that process had started it
  [ "$1" ] || { shift; "$@"; return; }
  mkdir -p -m 700 "$RUN" || refuse "$RUN cannot be made"
  umask 077; file=$RUN/passwords.$$; lines=$1; shift
  trap 'rm -f "$file"' EXIT; trap 'exit 1' INT TERM HUP
  printf '%s' "$lines" > "$file" || refuse "$RUN is full"
  PGPASSFILE=$file "$@"
}

# --- Faults of the network

cuts_ipv6() { ${NET:-} ip6tables -w 5 -t raw -S >/dev/null 2>&1; } # without working ip6tables, a cut covers IPv4 only
uncut() { # the command that removes the cuts of this fault; it fails if it cannot verify that they are gone
  t=accept_${D##*/} net=${NET_LATER:-${NET:-}} unseen="${DOWN:+$DOWN || }{ echo \"\$rules\"; false; }" # no network, no rules
  if [ "${CUTTER:-nft}" = nft ]; then
    echo "if rules=\$($net nft list tables 2>&1); then
  case \$rules in *'inet $t'*) $net nft delete table inet $t;; esac
else $unseen; fi"
  else
    echo "left="
    for i in iptables ip6tables; do
      for c in PREROUTING OUTPUT; do
        echo "while $net $i -w 5 -t raw -D $c -j ${t}_$c 2>/dev/null; do :; done
$net $i -w 5 -t raw -F ${t}_$c 2>/dev/null; $net $i -w 5 -t raw -X ${t}_$c 2>/dev/null"
      done
      [ $i = iptables ] || cuts_ipv6 || continue
      echo "if rules=\$($net $i -w 5 -t raw -S 2>&1); then
  case \$rules in *${t}_*) echo 'rules of $t are left'; left=yes;; esac
else { $unseen; } || left=yes; fi"
    done; echo '[ -z "$left" ]'
  fi
}
cut_lasts() { # of this fault: a reload of the host's firewall removes its rules
  t=accept_${D##*/}
  if [ "${CUTTER:-nft}" = nft ]; then lasts_by "${NET:-} nft list table inet $t || exit 1"; return; fi
  for i in iptables ip6tables; do for c in PREROUTING OUTPUT; do
    find="${NET:-} $i -w 5 -t raw -C $c -j ${t}_$c"
    ! $find 2>/dev/null || lasts_by "$find || exit 1"
  done; done
}
know_line() { # before a cut: refuses where it is not known which connection must stay
  [ "${LINE:-ssh}" = none ] || [ -n "$OWN_LINE" ] ||
    refuse "where the suite's own connection comes from is not known (line = \"...\" in [hosts])"
}
is_own_line() { # ADDRESS: whether that is where we come from
  [ "${LINE:-ssh}" != none ] || return 1
  set -- "$1" $OWN_LINE; [ "$1" = "${2#::ffff:}" ]
}
refused_by() { # TOOL WORDS: the fault is undone, and why there is none is told in the tool's own words
  heal "${D##*/}" >/dev/null
  why=$(printf '%s\n' "$2" | sed -n 's/.*Error: //p' | head -n 1); why=${why:-$(printf '%s\n' "$2" | head -n 1)}
  refuse "$1 refused it${why:+: $why}"
}
NEIGHBOURS='133 134 135 136' # ICMPv6 for what ARP is under IPv4: without it, our own line ends when the peer's entry is old
isolate() { # drop everything but this host's own loopback, our own line, and by which neighbours find each other
  from= port= said=
  if [ "${LINE:-ssh}" != none ]; then
    set -- $OWN_LINE; from=${1#::ffff:} port=${4:-}; from=${from%%\%*} # without a port: whatever comes from there by TCP
  fi
  if [ "${CUTTER:-nft}" = nft ]; then said=$(isolation | ${NET:-} nft -f - 2>&1) && return
  else
    t=accept_${D##*/}; ok=yes
    for i in iptables ip6tables; do
      for c in PREROUTING OUTPUT; do
        if [ $c = PREROUTING ]; then lo=-i a=-s p=--dport; else lo=-o a=-d p=--sport; fi
        ${NET:-} $i -w 5 -t raw -N ${t}_$c 2>/dev/null && ${NET:-} $i -w 5 -t raw -A ${t}_$c $lo lo -j ACCEPT || {
          [ $i = ip6tables ] || ok=; continue; }
        case $from in
          '') ;;
          *:*) [ $i = iptables ] || ${NET:-} $i -w 5 -t raw -A ${t}_$c $a "$from" -p tcp ${port:+$p "$port"} -j ACCEPT || ok=;;
          *) [ $i = ip6tables ] || ${NET:-} $i -w 5 -t raw -A ${t}_$c $a "$from" -p tcp ${port:+$p "$port"} -j ACCEPT || ok=;;
        esac
        [ $i = iptables ] || for one in $NEIGHBOURS; do
          ${NET:-} $i -w 5 -t raw -A ${t}_$c -p ipv6-icmp --icmpv6-type "$one" -j ACCEPT || ok=
        done
        ${NET:-} $i -w 5 -t raw -A ${t}_$c -j DROP || ok=
      done
      [ -z "$ok" ] || for c in PREROUTING OUTPUT; do
        ${NET:-} $i -w 5 -t raw -I $c 1 -j ${t}_$c 2>/dev/null || [ $i = ip6tables ] || ok=
      done
    done
    [ -z "$ok" ] || return 0
  fi
  refused_by "${CUTTER:-nft}" "$said"
}
isolation() { # the same as rules of nft
  own=; f=ip; case $from in *:*) f=ip6;; esac
  [ -z "$from" ] || own="$f XADDR $from ${port:+tcp XPORT $port}"
  [ -z "$from" ] || [ "$port" ] || own="$own meta l4proto tcp"
  own="${own:+$own accept; }icmpv6 type { $(echo $NEIGHBOURS | sed 's/ /, /g') } accept;"
  echo "table inet accept_${D##*/} {"
  for way in input output; do
    if [ $way = input ]; then i=iif a=saddr p=dport; else i=oif a=daddr p=sport; fi
    echo "chain $way { type filter hook $way priority -310; $i lo accept; $(echo "$own" | sed "s/XADDR/$a/;s/XPORT/$p/") counter drop; }"
  done
  echo "}"
}
cut() { # ID WAY:ADDRESS...: in: what comes from there vanishes; out: what goes there; seen: is only counted
  know_line; id=$1 said=; shift
  for one; do
    [ "${one%%:*}" = seen ] || ! is_own_line "${one#*:}" || refuse "${one#*:} is where the suite's own connection comes from"
  done
  begin "$id"
  undo_by "$(uncut)"; guard
  if [ "${CUTTER:-nft}" = nft ]; then
    said=$({ t=accept_${D##*/}
      echo "table inet $t {"
      for way in input forward output; do echo "chain $way { type filter hook $way priority -310; }"; done
      echo "}"
      for one; do
        a=${one#*:}; f=ip; case $a in *:*) f=ip6;; esac
        case $one in
          in:*) for c in input forward; do echo "add rule inet $t $c $f saddr $a counter drop"; done;;
          out:*) for c in output forward; do echo "add rule inet $t $c $f daddr $a counter drop"; done;;
          seen:*) echo "add rule inet $t input $f saddr $a counter";;
        esac
      done; } | ${NET:-} nft -f - 2>&1) && { cut_lasts; return; }
  else
    t=accept_${D##*/}; ok=yes
    for i in iptables ip6tables; do for c in PREROUTING OUTPUT; do
      ${NET:-} $i -w 5 -t raw -N ${t}_$c 2>/dev/null && ${NET:-} $i -w 5 -t raw -I $c 1 -j ${t}_$c || { [ $i = ip6tables ] || ok=; }
    done; done
    for one; do
      a=${one#*:}; i=iptables; case $a in *:*) i=ip6tables;; esac
      case $one in
        in:*) ${NET:-} $i -w 5 -t raw -A ${t}_PREROUTING -s "$a" -j DROP || ok=;;
        out:*) ${NET:-} $i -w 5 -t raw -A ${t}_OUTPUT -d "$a" -j DROP || ok=;;
        seen:*) ${NET:-} $i -w 5 -t raw -A ${t}_PREROUTING -s "$a" || ok=;;
      esac
    done
    [ -z "$ok" ] || { cut_lasts; return 0; }
  fi
  refused_by "${CUTTER:-nft}" "$said"
}
lossy() { # ID THOUSANDTHS ADDRESS...: lose that share of the packets that come from there; all are counted
  know_line; id=$1 share=$2; shift 2
  for one; do ! is_own_line "$one" || refuse "$one is where the suite's own connection comes from"; done
  begin "$id"; undo_by "$(uncut)"; guard; t=accept_$id
  said=$({ echo "table inet $t {"
    for way in input forward; do echo "chain $way { type filter hook $way priority -310; }"; done
    echo "}"
    for one; do
      f=ip; case $one in *:*) f=ip6;; esac
      for c in input forward; do
        echo "add rule inet $t $c $f saddr $one counter"
        echo "add rule inet $t $c numgen random mod 1000 < $share $f saddr $one counter drop"
      done
    done; } | ${NET:-} nft -f - 2>&1) && { cut_lasts; return; }
  refused_by nft "$said"
}
counted() { # ID: way, address and packets of each rule
  t=accept_$1
  if [ "${CUTTER:-nft}" = nft ]; then
    ${NET:-} nft list table inet "$t" | sed -n 's/.*[sd]addr \([^ ]*\) counter packets \([0-9]*\) bytes [0-9]* *\(drop\)*.*/\1 \2 \3/p;s/.*chain \([a-z]*\).*/\1/p' |
      while read -r a n kind; do
        case $a in input|output|forward) chain=$a; continue;; esac
        case $chain.${kind:-seen} in input.drop) w=in;; output.drop) w=out;; input.seen) w=seen;; *) continue;; esac
        printf '%s\t%s\t%s\n' $w "$a" "$n"
      done
  else
    for i in iptables ip6tables; do for c in PREROUTING OUTPUT; do
      ${NET:-} $i -w 5 -t raw -nvxL ${t}_$c 2>/dev/null | while read -r n _ target rest; do
        case $n in ''|*[!0-9]*) continue;; esac
        set -f; set -- $target $rest; set +f # a * there stands for any interface
        if [ "$1" = DROP ]; then shift; [ $c = PREROUTING ] && w=in || w=out; else w=seen; fi
        while [ $# -gt 2 ]; do shift; done
        [ $w = out ] && a=$2 || a=$1
        printf '%s\t%s\t%s\n' $w "${a%/*}" "$n"
      done
    done; done
  fi
}
outside() { # ID DO UNDO [LASTS]: a command of a container's engine, such as one that kills or pauses the container
  [ -z "${ISOLATED:-}" ] || know_line
  begin "$1"
  if [ "${ISOLATED:-}" ]; then undo_by "$(uncut)"; fi # first, see down
  if [ "${GONE:-}" ]; then undo_by "{ $3
} || { $GONE && : > $(quoted "$D/lost"); }" # nobody need try that again
  else undo_by "$3"; fi
  if [ "${ISOLATED:-}" ] && [ "${DOWN:-}" ]; then undo_by "$(uncut)"; fi; guard # the network may have been kept
  if [ "${ISOLATED:-}" ]; then isolate; fi
  still; said=$(sh -c "$2" 2>&1) || { heal "${D##*/}" >/dev/null; refuse "$2: $said"; }
  [ -z "${4:-}" ] || lasts_by "${EXPORTS:-}
$4"
}
decoy() { # SECONDS WORD: a program with that argument, for so long
  begin_decoy="sleep $1"; if command -v setsid >/dev/null; then setsid sh -c "$begin_decoy; :" "$2" </dev/null >/dev/null 2>&1 &
  else sh -c "$begin_decoy; :" "$2" </dev/null >/dev/null 2>&1 & fi
}
own_folders() { # what is in them is run by us: nobody else may have made them
  for folder in "$RUN" "$KEPT"; do
    [ -e "$folder" ] || [ -L "$folder" ] || continue
    [ "$(stat -c %u "$folder")" = "$(id -u)" ] || refuse "$folder is not ours: remove it there"
  done
}
require_root() { # sudo is refused, for a moment or for good: there is no answer if our own rights would lead to a wrong one
  lacks=
  [ -z "${AS_ROOT:-}" ] || lacks="sudo -n sh was allowed before, and is refused now"
  for folder in "/run/${FOLDER:-accept}" "/var/lib/${FOLDER:-accept}"; do # we would say that no fault is recorded there
    [ ! -e "$folder" ] || [ "$(stat -c %u "$folder")" = "$(id -u)" ] || lacks="only root may read $folder, and sudo -n sh is refused"
  done
  [ -z "$lacks" ] || { echo "$lacks: $NO_SUDO" >&2; exit 1; }
}
main() {
  [ -z "$NO_SUDO" ] || require_root
  if [ -w /run ]; then RUN=/run/${FOLDER:-accept}; else RUN=/tmp/${FOLDER:-accept}-$(id -u); fi
  if [ -w /var/lib ]; then KEPT=/var/lib/${FOLDER:-accept}; else KEPT=/var/tmp/${FOLDER:-accept}-$(id -u); fi
  echo "accept: begin $NONCE"; ( own_folders; "$@" && settle ); status=$?; echo; echo "accept: end $NONCE $status"; exit 0
}
