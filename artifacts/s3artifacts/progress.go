package s3artifacts

import (
	"sync"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

// abortTime is what the end of an upload may take that nobody waits for any more.
const abortTime = 10 * time.Second

// A progress counts what a Publish has done. Its lock only keeps reports apart.
type progress struct {
	mu     sync.Mutex
	now    artifacts.Progress
	report func(artifacts.Progress)
}

func newProgress(report func(artifacts.Progress), found []artifacts.FileInfo) *progress {
	p := &progress{report: report}
	p.now.Files = int64(len(found))
	for _, f := range found {
		p.now.Bytes += max(f.Size, 0)
	}
	return p
}

func (p *progress) change(how func(now *artifacts.Progress)) {
	if p.report != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		how(&p.now)
		p.report(p.now)
	}
}

func (p *progress) file() { p.change(func(now *artifacts.Progress) { now.FilesDone++ }) }

// hashed counts bytes of a file, whose size is negative if it did not say it.
func (p *progress) hashed(n, size int64) {
	p.change(func(now *artifacts.Progress) {
		now.BytesHashed += n
		if size < 0 {
			now.Bytes += n
		}
	})
}

func (p *progress) done(sent, reused int64) {
	p.change(func(now *artifacts.Progress) {
		now.Bytes, now.BytesSent, now.BytesReused = now.BytesHashed, sent, reused
	})
}
