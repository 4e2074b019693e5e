package fsshare

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits that every share keeps: those of Amazon EFS
// (https://docs.aws.amazon.com/efs/latest/ug/limits.html), and of the page in
// which a lock keeps its state.
const (
	MaxCommit   = 448 // bytes that [Lock.Commit] takes
	MaxName     = 255 // bytes in one element of a file's name
	MaxDepth    = 64  // elements in a file's name
	MaxLock     = 256 // bytes in a lock's name
	MaxPurpose  = 128 // bytes of [LockOptions.Purpose]
	reservedDir = ".fsshare"
)

// ValidateName reports an error that matches [ErrInvalid] unless name may name a
// file or directory: valid by [fs.ValidPath], at most [MaxDepth] elements of at most
// [MaxName] bytes without control characters, none of which begins with ".fsshare",
// which is the share's own and never listed. "." is the root.
func ValidateName(name string) error {
	if !fs.ValidPath(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%w: name %.300q: slash-separated UTF-8 without control characters, empty elements, \".\" or \"..\"", ErrInvalid, name)
	}
	elements := strings.Split(name, "/")
	if len(elements) > MaxDepth {
		return fmt.Errorf("%w: name with %d elements: at most %d", ErrInvalid, len(elements), MaxDepth)
	}
	for _, e := range elements {
		if len(e) > MaxName || strings.HasPrefix(e, reservedDir) {
			return fmt.Errorf("%w: name element %.300q: at most %d bytes, not beginning with %s", ErrInvalid, e, MaxName, reservedDir)
		}
	}
	return nil
}

// validateFile is ValidateName for what can hold bytes, which the root cannot.
func validateFile(name string) error {
	if name == "." {
		return fmt.Errorf("%w: the root is a directory", ErrInvalid)
	}
	return ValidateName(name)
}

// ValidateLock reports an error that matches [ErrInvalid] unless lock may name a
// lock: from 1 to [MaxLock] bytes of UTF-8 without control characters. Backends
// encode what their file system cannot hold.
func ValidateLock(lock string) error {
	if lock == "" {
		return fmt.Errorf("%w: the lock's name is empty", ErrInvalid)
	}
	return validateText("lock", lock, MaxLock)
}

func validateText(what, s string, most int) error {
	if len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: %s %.80q: at most %d bytes of UTF-8 without control characters", ErrInvalid, what, s, most)
	}
	return nil
}
