# What a machine is like, one fact per line: run inside both twins after a playbook, and compared line by line.
# $1 and $2 are the name and the address of the machine, which the twins cannot share: they are put out of the way in
# files. Times, logs, caches, host keys, login sessions, what a tool keeps for itself and
# services that come and go by themselves are left out.
export LC_ALL=C
places="/etc /home /root /srv /opt /usr/local /usr/lib/systemd /var/spool /var/tmp /tmp /var/lib/systemd/linger"
set -f
left_out="-path /etc/machine-id -o -path /etc/resolv.conf -o -path /etc/ssh/ssh_host_* -o -name .pwd.lock -o -name *.log
    -o -path /tmp/systemd-private-* -o -path /var/tmp/systemd-private-* -o -path /etc/passwd- -o -path /etc/group-
    -o -path /etc/shadow- -o -path /etc/gshadow- -o -path /etc/subuid- -o -path /etc/subgid- -o -name .cache
    -o -name .*_history -o -path /root/.ansible -o -path /home/*/.ansible"
find $places \( $left_out \) -prune -o -printf 'file %p %y %u:%g %m %l\n' 2>/dev/null
find $places \( $left_out \) -prune -o -type f ! -path /etc/shadow -print >/run/snapshot 2>/dev/null
set +f
xargs -r -d '\n' grep -lF -e "$1" -e "$2" </run/snapshot | while IFS= read -r file; do
    echo "content $file $(sed "s/$1/(name)/g; s/$2/(address)/g" "$file" | sha256sum)"
done
xargs -r -d '\n' grep -LF -e "$1" -e "$2" </run/snapshot | xargs -r -d '\n' sha256sum |
    sed 's/^\([^ ]*\)  \(.*\)/content \2 \1/'
rm /run/snapshot
for file in passwd group shadow gshadow subuid subgid fstab hosts hostname; do
    [ -f /etc/$file ] && sed "s|^|/etc/$file: |" /etc/$file
done
if command -v rpm >/dev/null; then rpm -qa --queryformat 'rpm %{name} %{evr}\n'; fi
if command -v dpkg-query >/dev/null; then dpkg-query --show --showformat 'dpkg ${Package} ${Version} ${Status}\n'; fi
if command -v apt-mark >/dev/null; then apt-mark showmanual | sed 's/^/manual /'; apt-mark showhold | sed 's/^/hold /'; fi
systemctl list-unit-files --no-legend --no-pager --plain | grep -v '^session-' | tr -s ' ' | sed 's/^/unit-file /'
systemctl list-units --all --no-legend --no-pager --plain --type=service,timer,socket,path,mount,target |
    awk '$2 != "not-found" && $1 !~ /^(user@|user-runtime-dir@|run-user-|netavark-dhcp-proxy|systemd-(hostnamed|timedated))/ { print "unit", $1, $2, $3, $4 }'
for user in $(ls /var/lib/systemd/linger 2>/dev/null); do
    systemctl --user "--machine=$user@" list-units --all --no-legend --no-pager --plain --type=service,timer,socket |
        awk -v user="$user" '{ print "unit of", user, $1, $2, $3, $4 }'
done
if systemctl -q is-active firewalld; then
    firewall-cmd --list-all-zones | sed '/^$/d; s/^/firewall /'
    firewall-cmd --permanent --list-all-zones | sed '/^$/d; s/^/permanent firewall /'
fi
sysctl -a -r '^net\.(ipv4|ipv6|core)\.' 2>/dev/null | sed 's/^/sysctl /'
findmnt --list --noheadings --output TARGET,FSTYPE,OPTIONS | grep -v '^/run/user/' | tr -s ' ' | sed 's/^/mount /'
echo "zone $(readlink /etc/localtime)"
echo "name $(hostname)"
