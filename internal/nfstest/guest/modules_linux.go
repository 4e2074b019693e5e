package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"
)

// loadModules loads kernel modules and what they need, from their files.
func loadModules(folder string, names ...string) error {
	index, err := os.ReadFile(filepath.Join(folder, "modules.dep"))
	if err != nil {
		return err
	}
	needs := map[string][]string{} // file: what it needs, to be loaded from the last to the first
	byName := map[string]string{}
	for line := range strings.Lines(string(index)) {
		file, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		needs[file] = strings.Fields(rest)
		byName[strings.TrimSuffix(filepath.Base(file), ".ko")] = file
	}
	loaded := map[string]bool{}
	for _, name := range names {
		file, ok := byName[name]
		if !ok {
			return fmt.Errorf("this kernel has no module %s", name)
		}
		order := append([]string{file}, needs[file]...)
		for _, f := range slices.Backward(order) {
			if loaded[f] {
				continue
			}
			if err := loadModule(filepath.Join(folder, f)); err != nil {
				return err
			}
			loaded[f] = true
		}
	}
	return nil
}

func loadModule(path string) error {
	image, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	noParameters := []byte{0}
	_, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE,
		uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(&noParameters[0])))
	if errno != 0 && !errors.Is(errno, syscall.EEXIST) {
		return fmt.Errorf("load module %s: %w", path, errno)
	}
	return nil
}
