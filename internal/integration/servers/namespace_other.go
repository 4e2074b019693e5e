//go:build !linux

package servers

import "errors"

const namespaceVariable = "GENAISTORE_NAMESPACE"

func isolate() (int, error) { return 0, errors.ErrUnsupported }

func inNamespace() bool { return false }

func enter() error { return nil }
