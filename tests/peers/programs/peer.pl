# Perl's IO::Socket::SSL as a peer for one connection. See tests/peers/scripts.py for the arguments and what is printed.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::SSL;

my ($role, $port, $version, $trust, $certificate, $key, $ask) = @ARGV;
my %options = (SSL_verify_mode => 0);
$options{SSL_version} = { "1.2" => "TLSv1_2", "1.3" => "TLSv1_3" }->{$version} if $version;
$options{SSL_ca_file} = $trust if $trust;
@options{qw(SSL_cert_file SSL_key_file SSL_use_cert)} = ($certificate, $key, 1) if $certificate;
$| = 1;

sub read_until {
    my ($tls, $done) = @_;
    my $data = "";
    until ($done->($data)) {
        my $got = sysread($tls, $data, 65536, length $data);
        die "ended early: ", join(", ", grep { $_ } $SSL_ERROR, Net::SSLeay::print_errs("")), "\n" unless $got;
    }
    return $data;
}

sub has_head { return $_[0] =~ /\r\n\r\n/ }

sub is_whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return defined $body && $head =~ /Content-Length: (\d+)/i && length $body >= $1;
}

my $tls;
if ($role eq "connect") {
    $tls = IO::Socket::SSL->new(
        PeerAddr => "127.0.0.1:$port", %options, SSL_hostname => "localhost", SSL_verify_mode => SSL_VERIFY_PEER,
        SSL_verifycn_name => "localhost", SSL_verifycn_scheme => "http"
    ) or die "$SSL_ERROR\n";
    print $tls $ENV{REQUEST};
    print read_until($tls, \&is_whole), "\n";
} else {
    my %modes = (none => 0, request => SSL_VERIFY_PEER, require => SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:0", Listen => 1) or die $!;
    print "listening|", $listener->sockport, "\n";
    my $socket = $listener->accept or die $!;
    $tls = IO::Socket::SSL->start_SSL(
        $socket, %options, SSL_server => 1, SSL_verify_mode => $modes{$ask}, SSL_startHandshake => 0
    ) or die "$SSL_ERROR\n";
    unless ($tls->accept_SSL) {
        print STDERR "$SSL_ERROR\n";
        shutdown $socket, 1;
        1 while sysread $socket, my $rest, 65536;
        exit 1;
    }
    print read_until($tls, \&has_head);
    print "peer|", $tls->peer_certificate ? $tls->peer_certificate("subject") : "", "\n";
    print $tls $ENV{RESPONSE};
}
print "over|", $tls->get_sslversion, "|", $tls->get_cipher, "\n";
$tls->close;
