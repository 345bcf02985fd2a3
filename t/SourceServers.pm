# SourceServers.pm
#	  The servers on which the tests run sources/pinterest_capi_source.sql: of
#	  several versions, and without the extension's library.
#
# PINTEREST_CAPI_SOURCES='FOLDER ...'	installations, each with bin/postgres; "self" is a
#										copy of the server under test, without the library
# Otherwise they are npm's packages postgresql-NN, which test/run installs from
# test/npm, or "self" where these can't be had.
#
# npm's packages have the server's programs alone, and their libraries lack the
# links by which a program finds them.  So each installation is a folder of
# scripts that call the programs where they are, besides a psql of the server
# under test.
package SourceServers;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename;
use File::Path qw(make_path);
use FindBin;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(source_servers new_source source_script load_script
  source_psql source_sql);

my $script = "$FindBin::RealBin/../sources/pinterest_capi_source.sql";

sub source_script { return $script }

sub write_program
{
	my ($path, @lines) = @_;

	open my $fh, '>', $path or die "$path: $!";
	print $fh map { "$_\n" } '#!/bin/sh', @lines;
	close $fh;
	chmod 0755, $path;
	return;
}

sub output_of
{
	my (@command) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(\@command, '<' => \undef, '>' => \$out, '2>' => \$err)
	  or die "@command: $err";
	chomp $out;
	return $out;
}

# Link to the files of a folder but for those of the extension.
sub link_folder
{
	my ($from, $to) = @_;

	make_path($to);
	for my $file (glob "$from/*")
	{
		my $name = basename($file);

		next if $name =~ /^pinterest_capi/ || $name eq 'bitcode';
		if   ($name eq 'extension') { link_folder($file, "$to/$name") }
		else                        { symlink $file, "$to/$name" }
	}
	return;
}

# Copy the server under test without the extension; return its bin.  A program
# finds its other folders by where it is itself.
sub copy_self
{
	my ($dir) = @_;
	my %folder = map { $_ => output_of('pg_config', "--$_") }
	  qw(bindir pkglibdir sharedir);

	make_path("$dir$folder{bindir}");
	system_or_bail('cp', '-p',
		(map { "$folder{bindir}/$_" } qw(initdb pg_ctl postgres)),
		"$dir$folder{bindir}/");
	link_folder($folder{$_}, "$dir$folder{$_}") for qw(pkglibdir sharedir);
	return "$dir$folder{bindir}";
}

# Make the links between libraries that are in npm's package as a list.
sub link_libraries
{
	my ($native, $dir) = @_;

	make_path($dir);
	for my $link (
		@{ JSON::PP::decode_json(slurp_file("$native/pg-symlinks.json")) })
	{
		my ($source, $target) =
		  map { s{^native/}{}r } @$link{qw(source target)};

		symlink "$native/$source", "$dir/" . basename($target)
		  if $target =~ m{^lib/[^/]+$};
	}
	return;
}

sub make_server
{
	my ($from) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $bin = $from eq 'self' ? copy_self($dir) : "$from/bin";
	my $libraries = '';

	if (-e "$from/pg-symlinks.json")
	{
		link_libraries($from, "$dir/libraries");
		$libraries =
		  "LD_LIBRARY_PATH='$dir/libraries:$from/lib'; export LD_LIBRARY_PATH";
	}
	make_path("$dir/scripts/bin");
	write_program(
		"$dir/scripts/bin/$_", 'unset LD_LIBRARY_PATH',
		$libraries, qq{exec '$bin/$_' "\$@"}) for qw(initdb pg_ctl postgres);
	write_program(
		"$dir/scripts/bin/psql",
		'unset LD_LIBRARY_PATH',
		"exec '" . output_of('pg_config', '--bindir') . q{/psql' "$@"});

	my ($version) = output_of("$dir/scripts/bin/postgres", '--version') =~
	  /\) (\d+\w*(?:\.\d+)*)/;
	write_program("$dir/scripts/bin/pg_config", "echo 'PostgreSQL $version'");
	chmod 0755, $dir;
	return {
		version => $version,
		major => $version =~ s/\D.*//r,
		path => "$dir/scripts"
	};
}

# Return the servers, oldest first.
sub source_servers
{
	my @from = split ' ', $ENV{PINTEREST_CAPI_SOURCES} // '';

	@from =
	  map { glob "$_/postgresql-*/native" } split /:/, $ENV{NODE_PATH} // ''
	  if !@from;
	@from = 'self' if !@from;

	my @servers =
	  sort { $a->{major} <=> $b->{major} } map { make_server($_) } @from;
	note('result: sources of PostgreSQL ' . join ', ',
		map { $_->{version} } @servers);
	return @servers;
}

# Start a cluster of a server, in which the extension can't be installed.
sub new_source
{
	my ($server, $name, $conf) = @_;
	my $node =
	  PostgreSQL::Test::Cluster->new($name, install_path => $server->{path});

	# allows_streaming would set what older servers don't know
	$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf',
		"wal_level = logical\nmax_wal_senders = 10\nlog_statement = none\n"
		  . ($conf // ''));
	$node->start;
	like($node->safe_psql('postgres', 'SHOW server_version'),
		qr/^\Q$server->{version}\E/, "$name: PostgreSQL $server->{version}");
	like(
		($node->psql('postgres', q{LOAD 'pinterest_capi'}))[2],
		qr/could not access file "pinterest_capi"/,
		"$name: the extension's library is not there");
	is( $node->safe_psql(
			'postgres',
			q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pinterest_capi'}
		),
		'0',
		"$name: nor its scripts");
	return $node;
}

# Run psql as a role; return whether it succeeded, its output and its errors.
sub source_psql
{
	my ($node, $database, $user, @args) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(
		[
			'psql', '-XAtq', '-U', $user, '-d', $node->connstr($database),
			@args
		],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err);

	chomp $out;
	return ($ok, $out, $err);
}

# Run statements as a role; return their output, or their errors behind "failed".
sub source_sql
{
	my ($node, $database, $user, $sql) = @_;
	my ($ok, $out, $err) = source_psql($node, $database, $user,
		'-v', 'ON_ERROR_STOP=1', '-c', $sql);

	return $ok ? $out : "failed: $err";
}

# Run the script as one transaction; return as source_psql() does.
sub load_script
{
	my ($node, $database, $user) = @_;

	return source_psql($node, $database, $user, '-1', '-v',
		'ON_ERROR_STOP=1', '-c', 'SET client_min_messages = warning',
		'-f', $script);
}

1;
