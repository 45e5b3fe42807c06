# What the faults of on_host.sh would do here, said instead of done. It follows that script, and replaces the functions by
# which anything is changed; rehearsal.py lets only those verbs be called that change nothing by any other way.
exec 3>&1
told() { printf '%s\n' "$2" | sed "s/^/$1\t/" >&3; }
said() { told do "$*"; case "$*" in *'-f -') sed 's/^/do\t  /' >&3;; esac; return 0; } # in place of nft and iptables, by NET
kill() { told do "kill $*"; }
sh() { told do "$2"; }
begin() { breakable; D=/run/accept/$1; }
undo_by() { told undo "$1"; }
lasts_by() { :; }
cut_lasts() { :; }
cuts_ipv6() { :; }
excuse() { :; }
sleep() { tries=0; } # nothing was stopped that would have to be waited for
guard() { :; }
remember() { :; }
mv() { told do "mv $*"; }
heal() { :; }
