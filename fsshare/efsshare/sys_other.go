//go:build !(linux && (amd64 || arm64))

package efsshare

import (
	"errors"
	"os"
	"time"
)

// Open fails first on these platforms, so nothing here is reached by a program.
const (
	supported = false
	nonblock  = 0
)

func rangeLock(*os.File, lockKind, int64) (bool, error) { return false, errors.ErrUnsupported }
func rangeHeld(*os.File, int64) (bool, error)           { return false, errors.ErrUnsupported }
func wholeLock(*os.File, lockKind) (bool, error)        { return false, errors.ErrUnsupported }
func dataSync(*os.File) error                           { return errors.ErrUnsupported }
func forget(*os.File) error                             { return errors.ErrUnsupported }
func sinceBoot() (time.Duration, error)                 { return 0, errors.ErrUnsupported }
func identity(os.FileInfo) fileID                       { return fileID{} }
