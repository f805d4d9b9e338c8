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

/// A script, for another shell of the same user, that ends what runs in the shell with that process id.
///
/// Whatever is found is stopped before the next look, so that nothing can start a child behind the script's back. Then SIGTERM
/// lets a package manager or a container put things in order; the subshell of the frame's script itself is killed at once,
/// or it would go on with its next command.
pub(super) fn script(shell: u32, scope: Scope) -> String {
    let the_shell = match scope {
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
# scan: stops and adds to $victims what belongs to the frame, until there is no more of it.
scan() {{
    found=1
    while [ $found = 1 ]; do
        found=0
        for dir in /proc/[0-9]*; do
            pid=${{dir#/proc/}}
            case " $shell $victims " in *" $pid "*) continue;; esac
            stat "$pid" || continue
            case " $victims " in
                *" $parent "*) ;;
                *) [ "$group" = "$ours" ] && [ "$start" -ge "$first" ] || continue;;
            esac
            kill -STOP "$pid" 2>/dev/null
            victims="$victims $pid" others="$others $pid" found=1
        done
    done
}}
# gone TENTHS: waits until the others are gone; fails when they are not by then.
gone() {{
    left=$1
    while :; do
        alive=
        for pid in $others; do
            if stat "$pid"; then alive="$alive $pid"; fi
        done
        [ -n "$alive" ] || return 0
        [ "$left" -gt 0 ] || return 1
        sleep 0.1 2>/dev/null || {{ sleep 1; left=$((left - 9)); }}
        left=$((left - 1))
    done
}}
stat $shell || exit 0
ours=$group direct= others= first=
{the_shell_stops}
for dir in /proc/[0-9]*; do
    pid=${{dir#/proc/}}
    stat "$pid" && [ "$parent" = $shell ] || continue
    kill -STOP "$pid" 2>/dev/null
    direct="$direct $pid"
    if [ -z "$first" ] || [ "$start" -lt "$first" ]; then first=$start; fi
done
victims=$direct
[ -z "$first" ] || scan
{the_shell}
[ -n "$first" ] || exit 0
kill -KILL $direct 2>/dev/null
[ -n "$others" ] || exit 0
kill -TERM $others 2>/dev/null
kill -CONT $others 2>/dev/null
gone {GRACE} && exit 0
scan
kill -KILL $others 2>/dev/null
gone 10
exit 0
"#,
        the_shell_stops = match scope {
            // It waits for the frame; when it is to go on it must see its end.
            Scope::Frame => "",
            Scope::Shell => "kill -STOP $shell 2>/dev/null",
        },
    )
}
