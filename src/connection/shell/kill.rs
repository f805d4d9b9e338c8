//! Ending what runs on the target.
//!
//! What a frame started is found from the shell's process id in `/proc`: its descendants, and whatever else is in its process
//! group and is not older than the frame (a child whose parent has gone has another parent now, but the group stays). What
//! earlier frames left behind on purpose is older and is spared.

/// How long what runs may take to end by itself after SIGTERM, in tenths of a second.
const GRACE: u32 = 20;

/// What to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The frame that is running; the shell goes on.
    Frame,
    /// The frame that is running, and the shell with it.
    Shell,
}

/// A script, for another shell of the same user, that ends what runs in the shell with that process id. SIGTERM lets a
/// package manager or a container put things in order; the subshell of the script itself is killed at once, or it would go on
/// with its next command.
pub(super) fn script(shell: u32, scope: Scope) -> String {
    let also = match scope {
        Scope::Frame => "",
        Scope::Shell => "kill -KILL $shell 2>/dev/null",
    };
    format!(
        r#"shell={shell}
# stat PID: its parent, group and start time; fails when it is gone or a zombie.
stat() {{
    {{ IFS= read -r line <"/proc/$1/stat"; }} 2>/dev/null || return 1
    set -- ${{line##*) }}
    parent=$2 group=$3 start=${{20}}
    [ "$1" != Z ]
}}
stat $shell || exit 0
ours=$group
table= first=
for dir in /proc/[0-9]*; do
    pid=${{dir#/proc/}}
    stat "$pid" || continue
    table="$table $pid:$parent:$group:$start"
    if [ "$parent" = $shell ]; then
        direct="$direct $pid"
        if [ -z "$first" ] || [ "$start" -lt "$first" ]; then first=$start; fi
    fi
done
{also}
[ -n "$first" ] || exit 0
victims=" $direct "
found=1
while [ $found = 1 ]; do
    found=0
    for row in $table; do
        pid=${{row%%:*}} row=${{row#*:}}
        case $victims in *" $pid "*) continue;; esac
        parent=${{row%%:*}} row=${{row#*:}}
        group=${{row%%:*}} start=${{row#*:}}
        [ "$pid" != $shell ] || continue
        case $victims in
            *" $parent "*) ;;
            *) [ "$group" = "$ours" ] && [ "$start" -ge "$first" ] || continue;;
        esac
        victims="$victims$pid "
        found=1
    done
done
others=
for pid in $victims; do
    case " $direct " in *" $pid "*) ;; *) others="$others $pid";; esac
done
kill -KILL $direct 2>/dev/null
[ -z "$others" ] || kill -TERM $others 2>/dev/null
left={GRACE}
while [ $left -gt 0 ]; do
    alive=
    for pid in $others; do
        if stat "$pid"; then alive="$alive $pid"; fi
    done
    [ -n "$alive" ] || exit 0
    sleep 0.1 2>/dev/null || {{ sleep 1; left=$((left - 9)); }}
    left=$((left - 1))
done
kill -KILL $alive 2>/dev/null
exit 0
"#
    )
}
