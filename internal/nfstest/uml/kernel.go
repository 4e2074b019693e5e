// Package uml runs a Linux kernel as an ordinary process of the host: Debian's
// user-mode-linux. It needs no root, no KVM and no container, and leaves nothing
// behind: the package is unpacked into a cache folder, nothing is installed, and
// every run has a temporary folder that goes with it.
package uml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/genaistore/genaistore"

// ErrNotInstalled says that the cache has no kernel.
var ErrNotInstalled = errors.New("no user-mode-linux kernel in the cache")

// Kernel is an unpacked kernel package.
type Kernel struct {
	Name    string // package name, version and architecture, joined by "_"
	Image   string // the program
	Modules string // the folder that has modules.dep
}

// Cache is the folder for kernels: nfstest in $GENAISTORE_CACHE, or in .cache at
// the root of this module's checkout, found from the working directory.
func Cache() (string, error) {
	if dir := os.Getenv("GENAISTORE_CACHE"); dir != "" {
		dir, err := filepath.Abs(dir)
		return filepath.Join(dir, "nfstest"), err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			continue
		}
		if slices.Contains(strings.Split(string(text), "\n"), "module "+module) {
			return filepath.Join(dir, ".cache", "nfstest"), nil
		}
	}
	return "", errors.New("not in a checkout of " + module + ": set GENAISTORE_CACHE")
}

// Find returns the kernel in a cache folder, the one unpacked last if there are
// several, or an error that matches ErrNotInstalled.
func Find(cache string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(cache, packageName+"_*", "usr", "bin", "linux.uml"))
	if err != nil {
		return Kernel{}, err
	}
	var newest Kernel
	var last int64
	for _, image := range images {
		folder := strings.TrimSuffix(image, filepath.Join("usr", "bin", "linux.uml"))
		info, err := os.Stat(folder)
		if err != nil {
			return Kernel{}, err
		}
		deps, err := filepath.Glob(filepath.Join(folder, "usr", "lib", "uml", "modules", "*", "modules.dep"))
		if err != nil || len(deps) != 1 || info.ModTime().UnixNano() < last {
			continue
		}
		last = info.ModTime().UnixNano()
		newest = Kernel{Name: filepath.Base(folder), Image: image, Modules: filepath.Dir(deps[0])}
	}
	if newest.Image == "" {
		return Kernel{}, fmt.Errorf("%w %s: go run %s/internal/nfstest/nfsexec -install", ErrNotInstalled, cache, module)
	}
	return newest, nil
}
