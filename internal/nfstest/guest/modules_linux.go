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

// modules loads kernel modules, each once, with what they need before them.
type modules struct {
	folder string
	files  map[string]string   // by the module's name
	needs  map[string][]string // by file: the files to load before it, from the last to the first
	loaded map[string]bool     // by file
}

// openModules reads the folder's index.
func openModules(folder string) (*modules, error) {
	index, err := os.ReadFile(filepath.Join(folder, "modules.dep"))
	if err != nil {
		return nil, err
	}
	m := &modules{folder: folder, files: map[string]string{}, needs: map[string][]string{}, loaded: map[string]bool{}}
	for line := range strings.Lines(string(index)) {
		if file, rest, ok := strings.Cut(line, ":"); ok {
			m.needs[file] = strings.Fields(rest)
			m.files[strings.TrimSuffix(filepath.Base(file), ".ko")] = file
		}
	}
	return m, nil
}

func (m *modules) load(names ...string) error {
	for _, name := range names {
		file, ok := m.files[name]
		if !ok {
			return fmt.Errorf("this kernel has no module %s", name)
		}
		order := append([]string{file}, m.needs[file]...)
		for _, f := range slices.Backward(order) {
			if m.loaded[f] {
				continue
			}
			if err := loadModule(filepath.Join(m.folder, f)); err != nil {
				return err
			}
			m.loaded[f] = true
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
