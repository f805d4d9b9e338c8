# Prints a file that grows until its name is gone: it is renamed when it is whole, and removed when it is not going to be. Run by `mms backup
# --to` on the host, as the user whose backup it is; perl is there because backups are made with it.
#
# The kernel passes the pages of the file on by sendfile(2) where it can, so that gigabytes are not copied twice for nothing.
use strict;
use warnings;

my ($path) = @ARGV;
my $most = 1 << 20;

# The number of sendfile on Linux, by what this perl was made for; none where it is not known.
my $sendfile = do {
    no warnings 'once';
    my $made_for = eval { require Config; $Config::Config{archname} } // '';
    $made_for =~ /^x86_64-linux(?!.*x32)/ ? 40 : $made_for =~ /^(?:aarch64|riscv64)-linux/ ? 71 : undef;
};

open(my $file, '<', $path) or die "cannot open $path: $!\n";

# Prints what has come since: the number of bytes.
sub more {
    if (defined $sendfile) {
        my $count = syscall($sendfile, 1, fileno($file), 0, $most);
        return $count if $count >= 0;
        # Reading and writing do it instead, or say why that cannot be done.
        $sendfile = undef;
    }
    my $count = sysread($file, my $bytes, $most) // die "cannot read $path: $!\n";
    for (my $sent = 0; $sent < $count;) {
        $sent += syswrite(STDOUT, $bytes, $count - $sent, $sent) // die "cannot write: $!\n";
    }
    return $count;
}

while (1) {
    # Asked before reading: what is in the file when its name is gone is all there will be.
    my $last = !-e $path;
    1 while more();
    last if $last;
    select(undef, undef, undef, 0.05);
}
