package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	toolPip    tool = "pip" // as a module of python3, or what makes one
	toolCC     tool = "cc"
)

const wantJava = 17

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// missing says what is wrong with the first tool that cannot be used, or "".
func missing(ctx context.Context, tools []tool) string {
	for _, t := range tools {
		program := string(t)
		if t == toolPip {
			program = string(toolPython)
		}
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not on PATH"
		}
		switch t {
		case toolJava:
			out, err := ask(ctx, "java", "-version")
			if err != nil {
				return fmt.Sprintf("java -version: %v", err)
			}
			if majorVersion(out) < wantJava {
				return fmt.Sprintf("java is older than %d: %s", wantJava, firstLine(out))
			}
		case toolPip:
			const find = `import importlib.util as u, sys; sys.exit(not (u.find_spec("pip") or u.find_spec("ensurepip")))`
			if _, err := ask(ctx, program, "-c", find); err != nil {
				return "python3 has neither pip nor ensurepip (Debian: python3-venv)"
			}
		}
	}
	return ""
}

func ask(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
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
	// The interpreter itself: a version manager's python3 may run it as a child of a
	// shell, which would outlive us if we are killed.
	out, err := output(ctx, dir, nil, "python3", "-c", "import sys; print(sys.executable)")
	if err != nil {
		return err
	}
	python := strings.TrimSpace(string(out))
	if err := run(ctx, dir, python, "-m", "pip", "--version"); err != nil {
		venv, err := os.MkdirTemp(dir, "venv")
		if err != nil {
			return err
		}
		defer remove(venv)
		if err := run(ctx, dir, python, "-m", "venv", venv); err != nil {
			return err
		}
		python = filepath.Join(venv, "bin", "python")
	}
	return run(ctx, dir, python, append([]string{"-m", "pip"}, args...)...)
}
