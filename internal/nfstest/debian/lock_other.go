//go:build !linux

package debian

import "errors"

func lock(string) (func(), error) { return nil, errors.ErrUnsupported }
