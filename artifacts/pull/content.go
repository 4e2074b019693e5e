package pull

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

// A content reads a file from its URL, a leaf at a time, and verifies each.
type content struct {
	client *http.Client
	file   File

	mu     sync.Mutex
	last   []byte // the leaf that was read last
	number int64
}

// ReadAt implements [artifacts.Content].
func (c *content) ReadAt(ctx context.Context, p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		leaf := (offset + int64(n)) / artifacts.LeafSize
		data, err := c.leaf(ctx, leaf)
		if err != nil {
			return n, fmt.Errorf("%s: %w", c.file.Path, err)
		}
		n += copy(p[n:], data[offset+int64(n)-leaf*artifacts.LeafSize:])
	}
	return n, nil
}

func (c *content) leaf(ctx context.Context, number int64) ([]byte, error) {
	c.mu.Lock()
	last, at := c.last, c.number
	c.mu.Unlock()
	if last != nil && at == number {
		return last, nil
	}
	var data []byte
	var err error
	for attempt := range attempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return nil, err
			}
		}
		if data, err = c.fetch(ctx, number); !errors.Is(err, errAgain) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := c.verify(number, data); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.number = data, number
	return data, nil
}

func pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(time.Duration(attempt) * 200 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// fetch reads a leaf. Of a file of one leaf it asks for the whole, which any server has.
func (c *content) fetch(ctx context.Context, number int64) (data []byte, err error) {
	offset := number * artifacts.LeafSize
	length := min(c.file.Size-offset, artifacts.LeafSize)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.file.URL, nil)
	if err != nil {
		return nil, err
	}
	want := http.StatusOK
	if length != c.file.Size {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
		want = http.StatusPartialContent
	}
	resp, err := c.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", errAgain, withoutURL(err))
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != want {
		return nil, refused(resp.StatusCode)
	}
	data = make([]byte, length)
	if n, err := io.ReadFull(resp.Body, data); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %d bytes, and %d were asked for: %w", errAgain, n, length, err)
	}
	return data, nil
}

// withoutURL leaves out what is a secret.
func withoutURL(err error) error {
	if at, is := errors.AsType[*url.Error](err); is {
		return at.Err
	}
	return err
}

// refused says what an answer means.
func refused(status int) error {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized || status == http.StatusBadRequest:
		return fmt.Errorf("%w: %s: the URL may have expired: ask for a new list", artifacts.ErrDenied, text)
	case status == http.StatusNotFound || status == http.StatusGone:
		return fmt.Errorf("%w: %s: the version was deleted, or its files collected", artifacts.ErrNotFound, text)
	case status == http.StatusOK:
		return fmt.Errorf("%w: the server ignores ranges", artifacts.ErrInvalid)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %w: %s", errAgain, artifacts.ErrThrottled, text)
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("%w: %s", errAgain, text)
	}
	return fmt.Errorf("%w: %s", artifacts.ErrInvalid, text)
}

func (c *content) verify(number int64, data []byte) error {
	sum := sha256.Sum256(data)
	if len(c.file.Leaves) == 0 {
		if artifacts.TreeDigest(c.file.Size, [][sha256.Size]byte{sum}) == c.file.Digest {
			return nil
		}
	} else if slices.Equal(c.file.Leaves[number*sha256.Size:(number+1)*sha256.Size], sum[:]) {
		return nil
	}
	return fmt.Errorf("%w: bytes from %d on are not those of %s", artifacts.ErrCorrupt, number*artifacts.LeafSize, c.file.Digest)
}
