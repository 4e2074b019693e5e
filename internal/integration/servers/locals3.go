package servers

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"strconv"
)

//go:embed recipes/locals3-pom.xml
var localS3POM []byte

//go:embed recipes/locals3.sha256
var localS3Sums []byte

//go:embed recipes/LocalS3Launcher.java
var localS3Launcher []byte

// Local-s3 is Robothy's S3 stand-in: a second opinion on S3 Vectors. It is published
// as a library, so a launcher is compiled for it.
func localS3() *server {
	return &server{
		name: NameLocalS3, version: "2.4", folder: "local-s3-2.4",
		builds: []tool{toolMaven, toolJavac}, runs: []tool{toolJava}, wild: true,
		recipe: [][]byte{localS3POM, localS3Sums, localS3Launcher},
		install: func(ctx context.Context, dir string) error {
			lib := filepath.Join(dir, "lib")
			pom, source := filepath.Join(dir, "pom.xml"), filepath.Join(dir, "LocalS3Launcher.java")
			if err := os.WriteFile(pom, localS3POM, 0o644); err != nil {
				return err
			}
			if err := os.WriteFile(source, localS3Launcher, 0o644); err != nil {
				return err
			}
			if err := maven(ctx, dir, "copy-dependencies", "-f", pom, "-DoutputDirectory="+lib); err != nil {
				return err
			}
			if err := verifyAll(lib, localS3Sums); err != nil {
				return err
			}
			return run(ctx, dir, "javac", "-cp", filepath.Join(lib, "*"), "-d", dir, source)
		},
		command: func(p place) command {
			classes := filepath.Join(p.installed, "lib", "*") + string(os.PathListSeparator) + p.installed
			return java(p, "-cp", classes, "LocalS3Launcher", strconv.Itoa(p.port))
		},
		ready: answers("GET", "/", 200),
		gaps:  localS3Gaps(),
	}
}
