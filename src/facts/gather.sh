# Prints what facts are made of. Read-only, few forks, GNU and BusyBox tools. `S` holds the subsets in blanks, `P` the
# directory of local facts, `T` the seconds file systems may take to answer, `G` the subsets as the user wrote them; they are set before
# this text.
# Every section starts with a line of a control character and its name.
mark() { printf '\n\001%s\n' "$1"; }
want() { for w; do case "$S" in *" $w "*) return 0 ;; esac; done; return 1; }
have() { command -v "$1" >/dev/null 2>&1; }

mark subset
printf '%s' "$S"
mark requested
printf '%s' "$G"
mark environ
cat /proc/self/environ 2>/dev/null
me=${LOGNAME:-${USER:-${LNAME:-${USERNAME:-}}}}
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin

# All the files that are wanted, by one process: `path:line`.
mark files
set -- /proc/sys/kernel/ostype /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/version \
  /proc/sys/crypto/fips_enabled /proc/self/status /proc/1/comm /proc/cmdline /proc/loadavg \
  /var/lib/dbus/machine-id /etc/machine-id /etc/resolv.conf /etc/selinux/config /sys/fs/selinux/policyvers \
  /sys/fs/selinux/enforce /etc/os-release /usr/lib/os-release /etc/altlinux-release /etc/oracle-release \
  /etc/slackware-version /etc/centos-release /etc/redhat-release /etc/vmware-release /etc/openwrt_release \
  /etc/system-release /etc/alpine-release /etc/SuSE-release /etc/lsb-release /etc/sourcemage-release \
  /etc/coreos/update.conf /etc/debian_version /etc/iscsi/initiatorname.iscsi /etc/nvme/hostnqn
want ssh_pub_keys && set -- "$@" /etc/ssh/ssh_host_*_key.pub /etc/openssh/ssh_host_*_key.pub /etc/ssh_host_*_key.pub
want hardware virtual && set -- "$@" /proc/cpuinfo /sys/devices/virtual/dmi/id/* /sys/hypervisor/type /proc/uptime
want virtual && set -- "$@" /proc/1/cgroup /run/systemd/container /proc/xen/capabilities /proc/modules
want hardware && set -- "$@" /proc/meminfo /proc/mounts /proc/self/mountinfo /sys/block/*/size /sys/block/*/removable \
  /sys/block/*/device/vendor /sys/block/*/device/model /sys/block/*/device/sas_address \
  /sys/block/*/device/sas_device_handle /sys/block/*/device/serial /sys/block/*/dm/name \
  /sys/block/*/queue/discard_max_hw_bytes /sys/block/*/queue/discard_granularity /sys/block/*/queue/rotational \
  /sys/block/*/queue/scheduler /sys/block/*/queue/logical_block_size /sys/block/*/queue/hw_sector_size \
  /sys/block/*/*/start /sys/block/*/*/size
want network && set -- "$@" /sys/class/net/*/address /sys/class/net/*/mtu /sys/class/net/*/operstate \
  /sys/class/net/*/type /sys/class/net/*/speed /sys/class/net/*/flags /sys/class/net/*/bridge/bridge_id \
  /sys/class/net/*/bridge/stp_state /sys/class/net/*/bonding/slaves /sys/class/net/*/bonding/mode \
  /sys/class/net/*/bonding/miimon /sys/class/net/*/bonding/lacp_rate /sys/class/net/*/bonding/primary \
  /sys/class/net/*/bonding/all_slaves_active /sys/class/net/*/bonding_slave/perm_hwaddr \
  /sys/class/fc_host/*/port_name
grep -asH '' "$@"

mark exists
for p in /etc/arch-release /etc/vmware-release /etc/gentoo-release /run/ostree-booted /usr/bin/rpm-ostree /usr/bin/yum \
  /usr/bin/dnf-3 /usr/bin/dnf5 /usr/bin/dnf /usr/bin/microdnf /usr/bin/apt-get /usr/bin/zypper /usr/sbin/urpmi \
  /usr/bin/pacman /bin/opkg /usr/pkg/bin/pkgin /usr/local/bin/brew /sbin/apk /usr/sbin/pkg /usr/bin/emerge \
  /usr/sbin/pkgadd /usr/bin/pkg /usr/bin/xbps-install /usr/local/sbin/pkg /usr/bin/swupd /usr/sbin/sorcery \
  /usr/bin/rpm /run/systemd/system /dev/.run/systemd /dev/.systemd /etc/init /sbin/openrc /etc/init.d /etc/dinit.d \
  /sys/kernel/security/apparmor /proc/vz /proc/lve /proc/bc /.dockerenv /.dockerinit /proc/xen /rhev /dev/kvm \
  /sys/devices/virtual/dmi/id/product_name /etc/os-release; do
  [ -e "$p" ] && printf '%s\n' "$p"
done
[ /usr/bin/dnf -ef /usr/bin/dnf5 ] && echo dnf=dnf5
[ /usr/bin/microdnf -ef /usr/bin/dnf5 ] && echo microdnf=dnf5
for c in systemctl initctl capsh lsb_release vgs ip dmidecode; do
  have "$c" && printf '%s\n' "$c"
done
want network && printf '%s\n' /sys/class/net/* /sys/class/net/*/bridge /sys/class/net/*/bonding \
  /sys/class/net/*/bonding_slave /sys/class/net/*/brif/*
want hardware && printf '%s\n' /sys/block/* /sys/block/*/holders/* /sys/block/*/*/holders/* /sys/block/*/slaves/*

mark links
set -- /sbin/init /etc/products.d/baseproduct
want hardware && set -- "$@" /sys/block/* /dev/disk/by-id/* /dev/disk/by-uuid/* /dev/disk/by-label/*
want network && set -- "$@" /sys/class/net/*/device /sys/class/net/*/device/driver/module
ls -ld "$@" 2>/dev/null

mark machine
uname -m
mark bits
getconf LONG_BIT 2>/dev/null
mark user
u=$(id -u)
echo "$u $me"
getent passwd ${me:+"$me"} "$u" 2>/dev/null || grep -E "^($me:|[^:]*:[^:]*:$u:)" /etc/passwd
mark date
e=$(date '+%s %N %Y %m %A %w %W %d %H %M %S %Z %z')
echo "$e"
y=$((${e%% *} / 31557600 * 31557600))
date -d "@$y" '+%Z %z' 2>/dev/null
date -d "@$((y + 15778800))" '+%Z %z' 2>/dev/null

# What Python's getfqdn does: the name of the first address of this host's name.
mark fqdn
read -r h </proc/sys/kernel/hostname
if have getent; then
  set -- $(getent ahosts "$h" 2>/dev/null)
  [ -n "$1" ] && getent hosts "$1" 2>/dev/null
else
  hostname -f 2>/dev/null
fi

if want pkg_mgr && [ -e /usr/bin/rpm ] && [ -e /usr/bin/apt-get ]; then
  mark apt_rpm
  rpm -q --whatprovides /usr/bin/apt-get >/dev/null 2>&1 && echo yes
fi
if want lsb && have lsb_release; then
  mark lsb_release
  lsb_release -a 2>/dev/null
fi
if want caps && have capsh; then
  mark capsh
  capsh --print 2>/dev/null
fi
if want systemd && [ -d /run/systemd/system ] && have systemctl; then
  mark systemd
  systemctl --version 2>/dev/null
fi
if want chroot; then
  mark root
  stat -c '%i %d' / /proc/1/root/. 2>/dev/null
  stat -f -c %T / 2>/dev/null
fi
if want virtual; then
  mark environ1
  cat /proc/1/environ 2>/dev/null
fi
if want hardware; then
  mark statfs
  set --
  while read -r dev dir type _; do
    case $dev in /* | \\* | *:/*) [ "$type" = none ] || {
      case $dir in *\\*) dir=$(printf '%b.' "$dir") && dir=${dir%.} ;; esac
      set -- "$@" "$dir"
    } ;; esac
  done </proc/mounts
  t=
  have timeout && t="timeout $T"
  [ $# -gt 0 ] && $t stat -f -c '%S %s %b %a %c %d %n' "$@" 2>/dev/null
  if have vgs && [ "$u" = 0 ]; then
    for b in /sys/block/dm-*; do
      [ -e "$b" ] || continue
      o='--noheadings --nosuffix --units g --separator ,'
      mark vgs
      vgs $o 2>/dev/null
      mark lvs
      lvs $o 2>/dev/null
      mark pvs
      pvs $o 2>/dev/null
      break
    done
  fi
  if have lspci; then
    mark lspci
    lspci -D 2>/dev/null
  fi
fi
if want network && have ip; then
  mark addr
  ip addr show 2>/dev/null
  mark route4
  ip -4 route get 8.8.8.8 2>/dev/null
  mark route6
  ip -6 route get 2404:6800:400a:800::1012 2>/dev/null
  mark local4
  ip -4 route show table local 2>/dev/null
  mark local6
  ip -6 route show table local 2>/dev/null
fi
if want local; then
  for f in "$P"/*.fact; do
    [ -e "$f" ] || continue
    mark fact
    printf '%s\n' "$f"
    r=0
    if [ -x "$f" ]; then
      { err=$("$f" 2>&1 1>&3); } 3>&1 </dev/null
      r=$?
    else
      cat "$f" 2>/dev/null
      err=
    fi
    mark fact_end
    printf '%s\n%s' "$r" "$err"
  done
fi
mark end
exit 0
