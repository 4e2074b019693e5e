package dynamomemory

import (
	"context"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// Warm does what the first call would otherwise wait for, where waiting costs
// nothing: before a server takes requests, in the INIT phase of a Lambda function,
// which has more of the processor than the calls that follow. It has credentials found
// and a connection to DynamoDB opened, learns whether this machine's clock may write,
// which saves the first Append a read, and makes the tables of the compressor.
//
// It reads one item in the partition of scope's app, which the role of the tenant may do:
// one read unit, whether or not there is anything. Only Tenant and App of scope count.
// An error says what every call would meet: no such table (memory.ErrNotFound),
// memory.ErrDenied, no answer, or a clock that is off (memory.ErrClockSkew). The Store
// can be used all the same; connections live for as long as the client's transport
// keeps them idle, which is 90 seconds by default.
func (s *Store) Warm(ctx context.Context, scope memory.Key) error {
	if err := scope.ValidateScope(); err != nil {
		return wrap("warm", scope, err)
	}
	scope = scope.Whole()
	if err := s.warmCodec(); err != nil {
		return wrap("warm", scope, err)
	}
	if _, err := s.get(ctx, appPK(scope), skShared); err != nil {
		return wrap("warm", scope, err)
	}
	s.probed.Store(true) // or the server keeps no time
	return wrap("warm", scope, s.checkClock())
}

// warmCodec has the compressor make the tables that it keeps: those of DEFLATE have
// more than half a megabyte.
func (s *Store) warmCodec() error {
	plain := []byte(strings.Repeat("warm ", compressFrom))
	small, err := s.opts.Compressor.Compress(nil, plain)
	if err != nil {
		return err
	}
	_, err = s.opts.Compressor.Decompress(nil, small, len(plain))
	return err
}
