//! Making home directories, for accounts that have none and for paths whose parents do not exist.

use crate::modules::Args;
use crate::sh;

/// Defines `mms_home path`, which copies the skeleton there with the mode that `/etc/login.defs` says.
pub fn function(args: &Args) -> String {
    let skeleton = sh::quote(args.str("skeleton").unwrap_or("/etc/skel"));
    format!(
        "mms_home() {{\n\
         [ ! -e \"$1\" ] || return 0\n\
         mkdir -p -- \"$1\" || return\n\
         if [ -d {skeleton} ]; then cp -a -- {skeleton}/. \"$1\"/ || return; fi\n\
         m=\n\
         if [ -e /etc/login.defs ]; then\n\
         m=755\n\
         while read -r k v _; do case $k in\n\
         HOME_MODE) m=$v; break ;;\n\
         UMASK) m=$(printf '%o' $((0777 & ~0$v))) ;;\n\
         esac; done </etc/login.defs\n\
         fi\n\
         [ -z \"$m\" ] || chmod \"$m\" -- \"$1\"\n\
         }}\n"
    )
}

/// Gives a directory (a shell word) and what is in it to the account whose entry is looked up now.
pub fn own(args: &Args, path: &str) -> String {
    format!(
        "e=$(mms_entry passwd {}); o=${{e#*:*:}}; g=${{o#*:}}; chown -Rh \"${{o%%:*}}:${{g%%:*}}\" -- {path} || exit\n",
        sh::quote(args.text("name"))
    )
}
