package servers

import (
	"context"
	"path/filepath"
	"strconv"
)

// S3Mock is Adobe's S3 stand-in, whose profile "vectors" serves S3 Vectors: the gate
// of what we do there. Its option to bind one address covers one of its four ports.
func s3Mock() *server {
	const jar = "s3mock-5.2.0-exec.jar"
	const sum = "dd7c192fef0005374dec507317ae946eaa5beeffeb4e901d8b97f7fd2ddfb741"
	return &server{
		name: NameS3Mock, version: "5.2.0", folder: "s3mock-5.2.0",
		builds: []tool{toolMaven}, runs: []tool{toolJava}, wild: true,
		recipe: [][]byte{[]byte(sum)},
		install: func(ctx context.Context, dir string) error {
			err := maven(ctx, dir, "copy", "-Dartifact=com.adobe.testing:s3mock:5.2.0:jar:exec", "-DoutputDirectory="+dir)
			if err != nil {
				return err
			}
			return verifySHA256(filepath.Join(dir, jar), sum)
		},
		command: func(p place) command {
			return java(p, "-jar", filepath.Join(p.installed, jar),
				"--spring.profiles.active=vectors", "--server.address=127.0.0.1",
				"--server.port=0", "--http.port=0", "--vectors.https.port=0",
				"--vectors.http.port="+strconv.Itoa(p.port))
		},
		ready: answers("POST", "/ListVectorBuckets", 200),
		gaps:  s3MockGaps(),
	}
}
