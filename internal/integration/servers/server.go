// Package servers installs, starts and stops the servers that the integration
// tests talk to, and hands out AWS clients for them. Nobody here wrote these
// servers; docs/SERVERS.md says what each is and what it gets wrong.
//
// A test package gives its TestMain to [Main] and takes clients from
// [DynamoDBLocal], [Versitygw], [S3Mock] and the others. A client's server is
// started when the first test asks for it and stopped when the package ends. A
// server that is not installed is a skip, printed and counted with its reason.
//
// The environment decides what runs:
//
//   - GENAISTORE_INSTALL=1 installs what is missing before the tests.
//   - GENAISTORE_MINIO=1 installs MinIO too, whose build takes minutes.
//   - GENAISTORE_STRICT=1 fails the run when a server is missing.
//   - GENAISTORE_CACHE is the folder of the installed servers, by default
//     .cache/servers below the repository.
//   - GENAISTORE_AWS=1 runs the same tests on AWS, with the configuration that the
//     AWS SDK finds, under names that begin with GENAISTORE_AWS_PREFIX.
//   - GENAISTORE_NAMESPACE=0 does not put the run into a network of its own.
package servers

import (
	"context"
	"net/http"
)

// Name names a server in reports and in the table of its gaps.
type Name string

// The servers, and AWS itself, which takes the place of the first choice of each
// service under GENAISTORE_AWS=1.
const (
	NameDynamoDBLocal Name = "DynamoDB Local"
	NameMoto          Name = "moto"
	NameVersitygw     Name = "versitygw"
	NameVersitygwTLS  Name = "versitygw TLS"
	NameMinIO         Name = "MinIO"
	NameS3Mock        Name = "S3Mock"
	NameLocalS3       Name = "local-s3"
	NameAWS           Name = "AWS"
)

// A server is what its file says about it.
type server struct {
	name    Name
	version string

	// builds and runs name the tools that installing and running it need.
	builds, runs []tool
	// asked is set for a server that is only installed when GENAISTORE_MINIO=1.
	asked bool
	// wild is set for a server that has no option to bind 127.0.0.1 alone.
	wild bool

	// folder names its installation; recipe is all else that decides what install
	// makes, so that a changed recipe is installed again.
	folder string
	recipe [][]byte
	// install fills the empty folder dir and verifies what it downloaded.
	install func(ctx context.Context, dir string) error

	command func(p place) command // nil for what tests run themselves
	tls     bool
	ready   func(ctx context.Context, client *http.Client, base string) error

	gaps map[Capability]string
}

// A place is where a server runs.
type place struct {
	installed string // its installation
	data      string // an empty folder of its own, removed when it stops
	port      int    // what to listen on
	cert, key string // of a self-signed certificate for 127.0.0.1, if tls
}

// A command is a program to start, in place.data.
type command struct {
	path string
	args []string
	env  []string // besides PATH, HOME, JAVA_HOME and TMPDIR
	// folders are made below place.data before it starts.
	folders []string
}

// The credentials of every local server. DynamoDB Local wants letters and digits.
const (
	accessKey = "genaistoretestaccess"
	secretKey = "genaistoretestsecret"
)

func all() []*server {
	return []*server{dynamoDBLocal(), moto(), versitygw(), versitygwTLS(), minIO(), s3Mock(), localS3()}
}

// Names lists the local servers.
func Names() []Name {
	var names []Name
	for _, s := range all() {
		names = append(names, s.name)
	}
	return names
}

func byName(name Name) *server {
	for _, s := range append(all(), programs()...) {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Version is the exact version of a server that these tests run, "" for AWS.
func Version(name Name) string {
	if s := byName(name); s != nil {
		return s.version
	}
	return ""
}

// java starts a JVM that is up fast, stays small and leaves no files elsewhere.
func java(p place, args ...string) command {
	return command{
		path: "java",
		args: append([]string{"-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.io.tmpdir=" + p.data}, args...),
	}
}
