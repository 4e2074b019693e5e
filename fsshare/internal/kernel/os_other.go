//go:build !(linux && (amd64 || arm64))

package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// NonBlock is an OpenFile flag; it is nothing here.
const NonBlock = 0

// OS is the operating system of the program. Here it has no locks of open file
// descriptions, and its Open fails.
type OS struct{}

var _ System = OS{}

// Open implements [System].
func (OS) Open(string) (Root, string, error) {
	return nil, "", fmt.Errorf("%w: shares on a mount need Linux on amd64 or arm64; use fsshare.InMemory for local runs", errors.ErrUnsupported)
}

// Tables implements [System].
func (OS) Tables() fs.FS { return os.DirFS("/") }

// SinceBoot implements [System].
func (OS) SinceBoot() (time.Duration, error) { return 0, errors.ErrUnsupported }

// Size implements [System].
func (OS) Size(context.Context, string) (float64, error) { return 0, errors.ErrUnsupported }

func identify(fs.FileInfo) ID { return ID{} }
