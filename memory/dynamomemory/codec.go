package dynamomemory

import "context"

// A Compressor makes the bodies of records smaller. It is safe for concurrent use.
type Compressor interface {
	// Name is stored with what Compress returned, so that a reader knows whether
	// it can read it. At most 32 bytes of ASCII, never changed.
	Name() string
	// Compress appends the compressed form of src to dst.
	Compress(dst, src []byte) ([]byte, error)
	// Decompress appends what src was made of to dst. It fails, and does not go on,
	// where that is more than limit bytes or src is not what Compress returns.
	Decompress(dst, src []byte, limit int) ([]byte, error)
}

// A BlobStore keeps the bodies of oversize records outside the table. Names are
// path segments as url.PathEscape writes them, of letters, digits and any of
// -_.~%$&+=:@, joined by '/'; the first one is that of [TenantBlobs]. It is safe for
// concurrent use.
type BlobStore interface {
	// Put stores data under name, and succeeds if it is there already: equal
	// names have equal data.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns the data, or an error that matches memory.ErrNotFound.
	Get(ctx context.Context, name string) ([]byte, error)
	// Delete removes name, and succeeds if it is not there.
	Delete(ctx context.Context, name string) error
}

// A Cipher wraps the data keys of sessions, as AWS KMS does: each session has a
// key of its own, which is stored wrapped beside its records and encrypts their
// content with AES-256-GCM. It is safe for concurrent use.
type Cipher interface {
	// NewKey returns a new 32-byte data key and its wrapped form, at most 4 KB,
	// bound to scope: what UnwrapKey must be given again.
	NewKey(ctx context.Context, scope Scope) (key, wrapped []byte, err error)
	// UnwrapKey returns the data key in wrapped. An error that matches
	// memory.ErrCorrupt says that wrapped was changed or belongs to another scope,
	// one that matches memory.ErrDenied that the caller may not have it.
	UnwrapKey(ctx context.Context, wrapped []byte, scope Scope) ([]byte, error)
}

// A Scope is what a wrapped key belongs to: a session, or the state of a user or
// of an app, whose key has no session or no user.
type Scope struct {
	Table, Tenant, App, User, Session string
}
