#!/usr/bin/perl
# The two ends of the stream that mms-backup-archive writes, in perl because there is much to copy, and because sh cannot read a header of tar.
#
# mms-backup-stream.pl hash STAGE SCRATCH: passes a tar archive on, and hashes every file in it on its way. It reads what `tar
# --format=gnu` writes, and leaves out the zeros that end it, so that more members can follow. Left in STAGE: `.mms-staged/.mms/SHA256SUMS` with
# a line for each regular file, as sha256sum writes it; `.mms-staged/.mms/manifest.json` with what was counted; `counts`, the number of files
# and of their bytes.
#
# mms-backup-stream.pl save STAGE PART: writes its input to the file PART, hashes it and brings it to the disk meanwhile, so that little
# is left to do when it is whole. Left in STAGE: `sha256`.
#
# mms-backup-stream.pl wide COMMAND...: becomes COMMAND, with room for more in the pipes that it reads and writes. Who writes to a pipe of the
# usual size is woken for every 64 KB.
#
# sha256sum is many times faster than what perl could do itself, and a process for each file would be most of the work where there are
# thousands. So large files go through a pipe to one of their own; small ones are put into SCRATCH, which this makes, under numbers for
# names, and hashed many at once while the next ones come. Nothing that the archive says becomes a path. Between pipes, the content of large
# files and the result are not copied where that can be avoided: the kernel shares them by tee(2) and moves them by splice(2).
#
# It needs no modules: minimal systems have hardly any. Exit status: 0, 141 when nobody reads what it writes, else 1 with the reason on stderr.
use strict;
use warnings;

my ($verb, @arguments) = @ARGV ? @ARGV : '';
my ($stage, $place) = @arguments;
# Bytes that are read at once, and those that make a file large.
my $piece = 1 << 20;
# Bytes and files that are hashed at once; what lies in SCRATCH is twice as much, for a while.
my ($most_bytes, $most_files) = (16 << 20, 2000);
# So much is written before it is brought to the disk.
my $most_unsynced = 64 << 20;
# So much of what was written last stays in the page cache for whoever takes it while it grows. Nobody reads the rest soon, and gigabytes of it
# would drive out what the services have there.
my $kept_cached = 256 << 20;
# F_SETPIPE_SZ (where it is refused, pieces are smaller), EPIPE, WNOHANG and POSIX_FADV_DONTNEED of Linux.
my ($set_pipe_size, $epipe, $without_waiting, $not_needed) = (1031, 32, 1, 4);
my ($splice, $tee, $fadvise) = numbers_of_calls();

# What was read, and how much of that is taken. What is taken is passed on with the next reading.
my ($buffer, $taken) = ('', 0);
# The small files that come now, and those that are being hashed: names, directory, process, the file that it writes.
my ($batch, $hashing) = (undef, undef);
my ($batches, $bytes_of_batch) = (0, 0);
my %count = (files => 0, directories => 0, links => 0, bytes => 0);

sub fail {
    print STDERR "$_[0]\n";
    exit 1;
}

# Writes LENGTH bytes from OFFSET of the second argument; the last one says what could not be written.
sub all {
    my ($to, undef, $offset, $length, $what) = @_;
    while ($length > 0) {
        my $count = syswrite($to, $_[1], $length, $offset);
        if (!defined $count) {
            exit 141 if $! == $epipe && fileno($to) == 1;
            fail('cannot write' . ($what // '') . ": $!");
        }
        ($offset, $length) = ($offset + $count, $length - $count);
    }
}

# The numbers of the calls splice, tee and fadvise64 of Linux, by what this perl was made for; none where they are not known.
sub numbers_of_calls {
    no warnings 'once';
    my $made_for = eval { require Config; $Config::Config{archname} } // '';
    return (275, 276, 221) if $made_for =~ /^x86_64-linux(?!.*x32)/;
    return (76, 77, 223) if $made_for =~ /^(?:aarch64|riscv64)-linux/;
    return ();
}

# Gives a pipe the next bytes of STDIN, at most LENGTH, and leaves them there for moved(): their number, 0 at the end, and nothing where
# that cannot be done, because STDIN is no pipe or the call is not there.
sub shared {
    my ($pipe, $length, $what) = @_;
    return undef if !$tee;
    my $count = syscall($tee, 0, fileno($pipe), $length, 0);
    return $count if $count >= 0;
    fail('cannot write' . ($what // '') . ": $!") if $! == $epipe;
    $tee = undef;
    return undef;
}

# Moves bytes of STDIN that are there.
sub moved {
    my ($to, $length, $what) = @_;
    while ($length > 0) {
        my $count = $splice ? syscall($splice, 0, 0, fileno($to), 0, $length, 0) : 0;
        if ($count <= 0) {
            # Writing says why nothing more can be moved there, or does it instead.
            $splice = undef;
            $count = sysread(STDIN, my $bytes, $length) || fail("cannot read: $!");
            all($to, $bytes, 0, $count, $what);
        }
        $length -= $count;
    }
}

# Passes on what is taken.
sub flush {
    all(\*STDOUT, $buffer, 0, $taken);
    substr($buffer, 0, $taken, '');
    $taken = 0;
}

# Whether there was more to read.
sub refill {
    flush();
    return sysread(STDIN, $buffer, $piece, length $buffer) // fail("cannot read: $!");
}

sub take {
    my ($size) = @_;
    while (length($buffer) - $taken < $size) {
        refill() or fail('the stream ends too early');
    }
    $taken += $size;
    return substr($buffer, $taken - $size, $size);
}

# Takes so many bytes, and writes them to a file if there is one, which may be a pipe.
sub content {
    my ($size, $to) = @_;
    while ($size > 0) {
        if ($to && $taken == length $buffer && -p $to) {
            flush();
            if (my $count = shared($to, $size)) {
                moved(\*STDOUT, $count);
                $size -= $count;
                next;
            }
        }
        $taken < length $buffer || refill() || fail('the stream ends too early');
        my $here = length($buffer) - $taken;
        $here = $size if $here > $size;
        all($to, $buffer, $taken, $here) if $to;
        ($taken, $size) = ($taken + $here, $size - $here);
    }
}

# A number of a header: octal digits, or binary when the first bit says so.
sub number {
    my ($field) = @_;
    if (ord($field) & 0x80) {
        my $value = 0;
        $value = $value * 256 + $_ for unpack('C*', substr($field, 1));
        return $value;
    }
    $field =~ /^ *([0-7]+)[ \0]*$/ or fail('a size is none');
    return oct($1);
}

# The hash in a line of sha256sum.
sub hash_in {
    my ($line) = @_;
    return ($line // '') =~ /^([0-9a-f]{64}) / ? $1 : fail('sha256sum did not tell a hash');
}

# The lines that sha256sum wrote become those of the archive: each hash with the name that belongs to it.
sub note {
    my ($file, @names) = @_;
    open(my $hashes, '<', $file) or fail("cannot open $file: $!");
    for my $name (@names) {
        my $hash = hash_in(scalar <$hashes>);
        my $escape = $name =~ s/([\\\n\r])/{"\\" => "\\\\", "\n" => "\\n", "\r" => "\\r"}->{$1}/ge ? '\\' : '';
        print SUMS "$escape$hash  $name\n" or fail("cannot write the sums: $!");
    }
    defined <$hashes> and fail('sha256sum told more than it was asked');
    unlink $file;
}

sub ended {
    my ($process) = @_;
    waitpid($process, 0) == $process && $? == 0 or fail("sha256sum failed with status $?");
}

# Runs a program with its output in a file: its process.
sub start {
    my ($file, $input, $directory, @command) = @_;
    my $process = fork() // fail("cannot start $command[0]: $!");
    return $process if $process;
    $SIG{PIPE} = 'DEFAULT';
    $directory eq '' || chdir($directory) or fail("cannot enter $directory: $!");
    open(STDIN, '<&', $input) or fail("cannot start $command[0]: $!");
    open(STDOUT, '>', $file) or fail("cannot write $file: $!");
    exec(@command) or fail("cannot start $command[0]: $!");
}

# A sha256sum of what is written to a pipe: its process, and the pipe.
sub hash_of_pipe {
    my ($file) = @_;
    pipe(my $from, my $to) or fail("cannot make a pipe: $!");
    fcntl($to, $set_pipe_size, $piece);
    return (start($file, $from, '', 'sha256sum'), $to);
}

sub nothing {
    open(my $nothing, '<', '/dev/null') or fail("cannot open /dev/null: $!");
    return $nothing;
}

sub hash_large {
    my ($name, $size) = @_;
    my ($process, $to) = hash_of_pipe("$stage/hash");
    content($size, $to);
    close($to);
    ended($process);
    note("$stage/hash", $name);
}

sub hash_small {
    my ($name, $size) = @_;
    if (!$batch) {
        ($batch, $bytes_of_batch) = ({directory => "$place/" . $batches++, names => []}, 0);
        mkdir($batch->{directory}) or fail("cannot make $batch->{directory}: $!");
    }
    my $file = "$batch->{directory}/" . @{$batch->{names}};
    open(my $to, '>', $file) or fail("cannot write $file: $!");
    content($size, $to);
    close($to) or fail("cannot write $file: $!");
    push @{$batch->{names}}, $name;
    $bytes_of_batch += $size;
    next_batch() if $bytes_of_batch >= $most_bytes || @{$batch->{names}} >= $most_files;
}

# What came before is hashed by now, or waited for; then what has come since begins.
sub next_batch {
    if ($hashing) {
        ended($hashing->{process});
        note("$hashing->{directory}.sums", @{$hashing->{names}});
        unlink map { "$hashing->{directory}/$_" } 0 .. $#{$hashing->{names}};
        rmdir($hashing->{directory}) or fail("cannot remove $hashing->{directory}: $!");
    }
    ($hashing, $batch) = ($batch, undef);
    return if !$hashing;
    my $directory = $hashing->{directory};
    $hashing->{process} = start("$directory.sums", nothing(), $directory, 'sha256sum', '--', 0 .. $#{$hashing->{names}});
}

# A member, whose header and content follow. Whether there was one.
sub member {
    my ($long_name);
    while (1) {
        my $header = take(512);
        # Where no header is, there are zeros to the end.
        if ($header !~ /[^\0]/) {
            $taken -= 512;
            return 0;
        }
        my ($name, $size, $kind) = unpack('Z100 x24 a12 x20 a1', $header);
        $size = number($size);
        my $padding = -$size % 512;
        if ($kind eq 'L') {
            $long_name = unpack('Z*', take($size));
            content($padding);
            next;
        }
        if ($kind eq 'K') {
            content($size + $padding);
            next;
        }
        $name = $long_name // $name;
        if ($kind eq '0' || $kind eq "\0") {
            $size >= $piece ? hash_large($name, $size) : hash_small($name, $size);
            ($count{files}, $count{bytes}) = ($count{files} + 1, $count{bytes} + $size);
        } else {
            $kind =~ /^[1-6]$/ or fail("a member is of the unknown kind `$kind`");
            $count{directories}++ if $kind eq '5';
            $count{links}++ if $kind eq '1' || $kind eq '2';
            content($size);
        }
        content($padding);
        return 1;
    }
}

# A file of STAGE.
sub leave {
    my ($name, $content) = @_;
    my $file = "$stage/$name";
    open(my $to, '>', $file) or fail("cannot write $file: $!");
    print $to $content;
    close($to) or fail("cannot write $file: $!");
}

sub first_line {
    my ($file) = @_;
    open(my $from, '<', $file) or fail("cannot open $file: $!");
    my $line = <$from> // '';
    chomp $line;
    return $line;
}

sub hash_archive {
    mkdir($place) or fail("cannot make $place: $!");
    open(SUMS, '>', "$stage/.mms-staged/.mms/SHA256SUMS") or fail("cannot write the sums: $!");
    1 while member();
    next_batch() while $batch || $hashing;
    close(SUMS) or fail("cannot write the sums: $!");
    rmdir($place) or fail("cannot remove $place: $!");
    my $counted = sprintf('"files":%d,"directories":%d,"links":%d,"bytes":%d', @count{qw(files directories links bytes)});
    leave('.mms-staged/.mms/manifest.json', "{\"format\":1,$counted}\n");
    leave('counts', "$count{files} $count{bytes}\n");
    # What was taken is passed on. What is left are zeros, and tar must be rid of all of them.
    refill();
    do {
        $buffer =~ /[^\0]/ and fail('something follows the end of the archive');
        $buffer = '';
    } while (refill());
}

# Begins to bring to the disk what is written: the process that does.
sub sync {
    return start("$stage/synced", nothing(), '', 'sh', '-c', 'exec sync -d -- "$1" 2>&1', 'sh', $place);
}

# Whether it has ended, and well; it is waited for unless FLAGS say otherwise.
sub synced {
    my ($process, $flags) = @_;
    return 0 if waitpid($process, $flags) != $process;
    $? == 0 or fail('cannot bring the backup to the disk: ' . first_line("$stage/synced"));
    return 1;
}

# Takes the first so many bytes of a file, which are on the disk, out of the page cache. Where that is not known or refused, they stay.
sub forget {
    my ($file, $size) = @_;
    syscall($fadvise, fileno($file), 0, $size, $not_needed) if $fadvise && $size > 0;
}

sub save {
    open(my $to, '>', $place) or fail("cannot write the backup: $!");
    my ($process, $pipe) = hash_of_pipe("$stage/hash.whole");
    my ($syncing, $unsynced, $to_hash) = (0, 0, ' to the hash of the backup');
    # Bytes: written, and of these what was to be brought to the disk last.
    my ($written, $covered) = (0, 0);
    while (1) {
        my $count = shared($pipe, $piece, $to_hash);
        if (defined $count) {
            moved($to, $count, ' the backup');
        } else {
            $count = sysread(STDIN, $buffer, $piece) // fail("cannot read: $!");
            all($to, $buffer, 0, $count, ' the backup');
            all($pipe, $buffer, 0, $count, $to_hash);
        }
        last if !$count;
        ($written, $unsynced) = ($written + $count, $unsynced + $count);
        if ($syncing && synced($syncing, $without_waiting)) {
            $syncing = 0;
            forget($to, $covered - $kept_cached);
        }
        ($syncing, $unsynced, $covered) = (sync(), 0, $written) if !$syncing && $unsynced >= $most_unsynced;
    }
    close($to) or fail("cannot write the backup: $!");
    close($pipe);
    synced($syncing, 0) if $syncing;
    synced(sync(), 0);
    ended($process);
    leave('sha256', hash_in(first_line("$stage/hash.whole")) . "\n");
}

fcntl($_, $set_pipe_size, $piece) for \*STDIN, \*STDOUT;
if ($verb eq 'wide') {
    exec(@arguments) or fail("cannot start $arguments[0]: $!");
}
# Whoever reads tells by its own status why it ended.
$SIG{PIPE} = 'IGNORE';
my %verbs = (hash => \&hash_archive, save => \&save);
my $does = $verbs{$verb} or fail("`$verb` is nothing that this program does");
$does->();
