package servers

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A tool is a program that must be on PATH. An absent one is the reason of a skip.
type tool string

const (
	toolGo     tool = "go"
	toolJava   tool = "java"
	toolJavac  tool = "javac"
	toolMaven  tool = "mvn"
	toolNPM    tool = "npm"
	toolPython tool = "python3"
	toolCC     tool = "cc"
)

const wantJava = 17

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// missing says what is wrong with the first tool that cannot be used, or "".
func missing(ctx context.Context, tools []tool) string {
	for _, t := range tools {
		if _, err := exec.LookPath(string(t)); err != nil {
			return fmt.Sprintf("%s is not on PATH", t)
		}
		if t != toolJava {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
		cancel()
		if err != nil {
			return fmt.Sprintf("java -version: %v", err)
		}
		if major := majorVersion(string(out)); major < wantJava {
			return fmt.Sprintf("java is older than %d: %s", wantJava, firstLine(string(out)))
		}
	}
	return ""
}

// majorVersion reads the output of java -version; Java 8 calls itself 1.8, so 1 here.
func majorVersion(out string) int {
	m := javaVersion.FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return major
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// maven runs one goal of a pinned version of Maven's dependency plugin. A checksum
// that differs from the published one is an error (-C).
func maven(ctx context.Context, dir, goal string, args ...string) error {
	const plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:"
	return run(ctx, dir, "mvn", append([]string{"-q", "-B", "-C", plugin + goal}, args...)...)
}

// pip runs Python's installer, from a throw-away virtual environment where the
// system's Python has none of its own (Debian splits it off).
func pip(ctx context.Context, dir string, args ...string) error {
	python := "python3"
	if err := run(ctx, dir, python, "-m", "pip", "--version"); err != nil {
		venv, err := tempDir(dir, "venv")
		if err != nil {
			return err
		}
		defer remove(venv)
		if err := run(ctx, dir, python, "-m", "venv", venv); err != nil {
			return fmt.Errorf("python3 has neither pip nor venv (Debian: python3-venv): %w", err)
		}
		python = venv + "/bin/python"
	}
	return run(ctx, dir, python, append([]string{"-m", "pip"}, args...)...)
}
