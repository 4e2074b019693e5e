package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

// selftest finds out, on two machines that have the file system mounted, what its
// server does: the facts that locks and fresh reads rely on. Both run it at the same
// time, one as a and one as b, with the same --folder.
type selftest struct {
	Role    string        `arg:""                                                                                                                                                     enum:"a,b" help:"Which of the two machines this is."`
	Folder  string        `default:"selftest"                                                                                                                                         help:"A directory of the share for this run, the same on both machines; it must not exist."`
	Turns   int           `default:"50"                                                                                                                                               help:"How often each machine takes a lock from the other."`
	Locks   int           `default:"600"                                                                                                                                              help:"How many locks b holds at the same time, to find the quota."`
	Cut     string        `help:"For a: a shell command that cuts this machine off from the server. Without one, nothing is said about lost locks."`
	Mend    string        `help:"For a: a shell command that ends the cut."`
	Timeout time.Duration `default:"10m"                                                                                                                                              help:"How long to wait for the other machine."`
}

// A fact is a line of the selftest's report.
type fact struct {
	ok   bool
	text string
}

// A bench is one machine's part in a run.
type bench struct {
	selftest
	share *efsshare.Share
	out   io.Writer
	every time.Duration // between two looks at what the other did
	wrong int
}

func (c selftest) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	b := &bench{selftest: c, share: share, out: io.out, every: 50 * time.Millisecond}
	for _, step := range []struct {
		name string
		do   func(context.Context, string) (fact, error)
	}{
		{"mount", b.mount},
		{"meeting", b.meeting},
		{"exclusion", b.exclusion},
		{"wake-up", b.wakeUp},
		{"fresh reads", b.freshReads},
		{"fencing", b.fencing},
		{"quota", b.quota},
	} {
		f, err := step.do(ctx, step.name)
		if err != nil {
			return fmt.Errorf("selftest: %s: %w", step.name, err)
		}
		mark := "ok   "
		if !f.ok {
			mark = "WRONG"
			b.wrong++
		}
		if _, err := fmt.Fprintf(b.out, "%s %-12s %s\n", mark, step.name, f.text); err != nil {
			return err
		}
	}
	if err := b.leave(ctx); err != nil {
		return fmt.Errorf("selftest: clean up: %w", err)
	}
	if b.wrong > 0 {
		return fmt.Errorf("selftest: %d things are wrong: do not rely on locks here", b.wrong)
	}
	return nil
}

func (b *bench) other() string {
	if b.Role == "a" {
		return "b"
	}
	return "a"
}

func (b *bench) name(elem ...string) string { return path.Join(append([]string{b.Folder}, elem...)...) }

// say tells the other machine something, once.
func (b *bench) say(ctx context.Context, topic, text string) error {
	_, err := b.share.WriteFile(ctx, b.name(b.Role, topic), strings.NewReader(text), &fsshare.WriteOptions{MustMake: true})
	return err
}

// hear waits for what the other machine says.
func (b *bench) hear(ctx context.Context, topic string) (string, error) {
	for {
		data, err := fs.ReadFile(b.share.FS(ctx), b.name(b.other(), topic))
		if !errors.Is(err, fsshare.ErrNotFound) {
			return string(data), err
		}
		select {
		case <-time.After(b.every):
		case <-ctx.Done():
			return "", fmt.Errorf("the other machine does not say %q: %w", topic, ctx.Err())
		}
	}
}

// meet returns when both machines have come so far.
func (b *bench) meet(ctx context.Context, topic string) error {
	if err := b.say(ctx, topic, ""); err != nil {
		return err
	}
	_, err := b.hear(ctx, topic)
	return err
}

func (b *bench) mount(ctx context.Context, _ string) (fact, error) {
	r, err := b.share.Doctor(ctx, &efsshare.DoctorOptions{Probe: true})
	if err != nil {
		return fact{}, err
	}
	f := fact{ok: true, text: fmt.Sprintf("%s %s, version %s, lease %v", r.Kind, r.FileSystem, r.Mount.Version(), r.Mount.Lease)}
	for _, finding := range r.Findings {
		if finding.Danger {
			f.ok = false
			f.text += "; " + finding.Check + ": " + finding.Text
		}
	}
	return f, nil
}

func (b *bench) meeting(ctx context.Context, step string) (fact, error) {
	host, err := os.Hostname()
	if err != nil {
		return fact{}, err
	}
	if err := b.say(ctx, step, host); err != nil {
		return fact{}, fmt.Errorf("%w (another --folder, on both machines?)", err)
	}
	other, err := b.hear(ctx, step)
	return fact{ok: true, text: fmt.Sprintf("%s is %s, %s is %s", b.Role, host, b.other(), other)}, err
}

// exclusion has both machines add to a number in the lock's data, each in its turn.
func (b *bench) exclusion(ctx context.Context, step string) (fact, error) {
	if err := b.meet(ctx, step+" begins"); err != nil {
		return fact{}, err
	}
	lock := b.name(step)
	var longest time.Duration
	start := time.Now()
	for range b.Turns {
		asked := time.Now()
		err := fsshare.Hold(ctx, b.share, lock, nil, func(ctx context.Context, l fsshare.Lock) error {
			longest = max(longest, time.Since(asked))
			status, err := b.share.Inspect(ctx, lock)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi("0" + string(status.Data))
			if err != nil {
				return err
			}
			return l.Commit(ctx, strconv.AppendInt(nil, int64(n+1), 10))
		})
		if err != nil {
			return fact{}, err
		}
	}
	took := time.Since(start)
	if err := b.meet(ctx, step+" ends"); err != nil {
		return fact{}, err
	}
	status, err := b.share.Inspect(ctx, lock)
	want := strconv.Itoa(2 * b.Turns)
	return fact{
		ok: string(status.Data) == want && status.Token == uint64(2*b.Turns),
		text: fmt.Sprintf("%s of %s turns counted, token %d; a turn took %v, the longest %v",
			status.Data, want, status.Token, (took / time.Duration(b.Turns)).Round(10*time.Microsecond), longest.Round(time.Millisecond)),
	}, err
}

// wakeUp measures how late a waiter has the lock. The clocks of two machines differ:
// the holder counts from its Unlock to what it hears of the waiter.
func (b *bench) wakeUp(ctx context.Context, step string) (fact, error) {
	lock := b.name(step)
	if b.Role == "b" {
		if _, err := b.hear(ctx, step+" held"); err != nil {
			return fact{}, err
		}
		start := time.Now()
		err := fsshare.Hold(ctx, b.share, lock, nil, func(ctx context.Context, _ fsshare.Lock) error { return b.say(ctx, step+" taken", "") })
		return fact{ok: true, text: fmt.Sprintf("waited %v", time.Since(start).Round(time.Millisecond))}, err
	}
	const held = 3 * time.Second
	l, err := b.share.Lock(ctx, lock, nil)
	if err != nil {
		return fact{}, err
	}
	if err := b.say(ctx, step+" held", ""); err != nil {
		return fact{}, errors.Join(err, l.Unlock())
	}
	select {
	case <-time.After(held):
	case <-l.Context().Done():
	}
	if err := l.Unlock(); err != nil {
		return fact{}, err
	}
	start := time.Now()
	if _, err := b.hear(ctx, step+" taken"); err != nil {
		return fact{}, err
	}
	const most = 2 * time.Second
	late := time.Since(start)
	return fact{ok: late < most, text: fmt.Sprintf("a waiter was heard of %v after an Unlock", late.Round(time.Millisecond))}, nil
}

// freshReads replaces a file that the other machine has open.
func (b *bench) freshReads(ctx context.Context, step string) (fact, error) {
	const rounds, soon = 5, time.Second
	file := b.name("replaced")
	var latest time.Duration
	for i := range rounds {
		topic := step + " " + strconv.Itoa(i)
		if b.Role == "a" {
			if _, err := b.hear(ctx, topic+" open"); err != nil {
				return fact{}, err
			}
			if _, err := b.share.WriteFile(ctx, file, strings.NewReader(topic), nil); err != nil {
				return fact{}, err
			}
			start := time.Now()
			if _, err := b.hear(ctx, topic+" seen"); err != nil {
				return fact{}, err
			}
			latest = max(latest, time.Since(start))
			continue
		}
		if err := b.readReplaced(ctx, file, topic); err != nil {
			return fact{}, err
		}
	}
	if b.Role == "b" {
		return fact{ok: true, text: "read what a wrote, while the old file was open"}, nil
	}
	return fact{ok: latest < soon, text: fmt.Sprintf("a replaced file was heard to be seen after %v at most", latest.Round(time.Millisecond))}, nil
}

func (b *bench) readReplaced(ctx context.Context, file, topic string) error {
	old, err := b.share.FS(ctx).Open(file)
	if err != nil && !errors.Is(err, fsshare.ErrNotFound) {
		return err
	}
	if err == nil {
		defer func() { _ = old.Close() }()
	}
	if err := b.say(ctx, topic+" open", ""); err != nil {
		return err
	}
	for {
		data, err := fs.ReadFile(b.share.FS(ctx), file)
		if err == nil && string(data) == topic {
			return b.say(ctx, topic+" seen", "")
		}
		if err != nil && !errors.Is(err, fsshare.ErrNotFound) {
			return err
		}
		select {
		case <-time.After(b.every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fencing cuts a off while it holds a lock that b waits for.
func (b *bench) fencing(ctx context.Context, step string) (fact, error) {
	lock := b.name(step)
	if b.Role == "b" {
		plan, err := b.hear(ctx, step+" held")
		if err != nil || plan == "" {
			return fact{ok: true, text: "skipped: a has no --cut"}, err
		}
		return b.takeOver(ctx, step, lock)
	}
	if b.Cut == "" || b.Mend == "" {
		return fact{ok: true, text: "skipped: give a --cut and --mend"}, b.say(ctx, step+" held", "")
	}
	r, err := b.share.Doctor(ctx, nil)
	if err != nil {
		return fact{}, err
	}
	l, err := b.share.Acquire(ctx, lock, nil)
	if err != nil {
		return fact{}, err
	}
	if err := errors.Join(l.Commit(ctx, []byte("a")), b.say(ctx, step+" held", "it will be cut")); err != nil {
		return fact{}, errors.Join(err, l.Unlock())
	}
	// One program for both, started before the cut: to start one afterwards would wait
	// for what cannot be written.
	const leases = 2 // until another surely has it
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("%s\nsleep %d\n%s", b.Cut, leases*r.Mount.Lease/time.Second+1, b.Mend))
	cmd.Stdout, cmd.Stderr = b.out, b.out
	if err := cmd.Start(); err != nil {
		return fact{}, errors.Join(err, l.Unlock())
	}
	cut := time.Now()
	<-l.Context().Done()
	reported, safe := time.Now(), l.SafeUntil()
	if err := cmd.Wait(); err != nil {
		return fact{}, fmt.Errorf("cut and mend: %w", err)
	}
	//nolint:contextcheck // it is the lock's own context that ended
	cause := context.Cause(l.Context())
	stale := l.Commit(ctx, []byte("stale"))
	unlock := l.Unlock()
	if err := b.say(ctx, step+" mended", ""); err != nil {
		return fact{}, err
	}
	if _, err := b.hear(ctx, step+" judged"); err != nil {
		return fact{}, err
	}
	return fact{
		ok: errors.Is(cause, fsshare.ErrLost) && reported.Before(safe) && errors.Is(stale, fsshare.ErrLost) && errors.Is(unlock, fsshare.ErrLost),
		text: fmt.Sprintf("the loss was reported %v after the cut, %v before another could have the lock; the stale commit: %v",
			reported.Sub(cut).Round(time.Millisecond), safe.Sub(reported).Round(time.Millisecond), stale),
	}, nil
}

func (b *bench) takeOver(ctx context.Context, step, lock string) (fact, error) {
	start := time.Now()
	l, err := b.share.Acquire(ctx, lock, nil)
	if err != nil {
		return fact{}, err
	}
	took := time.Since(start)
	if err := l.Commit(ctx, []byte("b")); err != nil {
		return fact{}, errors.Join(err, l.Unlock())
	}
	if _, err := b.hear(ctx, step+" mended"); err != nil {
		return fact{}, errors.Join(err, l.Unlock())
	}
	status, err := b.share.Inspect(ctx, lock)
	err = errors.Join(err, l.Unlock(), b.say(ctx, step+" judged", ""))
	return fact{
		ok:   string(status.Data) == "b" && status.Token == l.Token(),
		text: fmt.Sprintf("the lock of a machine that was cut off was free after %v; then it holds %q", took.Round(10*time.Millisecond), status.Data),
	}, err
}

// quota holds many locks at the same time.
func (b *bench) quota(ctx context.Context, step string) (fact, error) {
	if b.Role == "a" {
		_, err := b.hear(ctx, step+" found")
		return fact{ok: true, text: "b looks"}, err
	}
	var held []fsshare.Lock
	var refused error
	for i := range b.Locks {
		l, err := b.share.Lock(ctx, b.name(step, strconv.Itoa(i)), nil)
		if err != nil {
			refused = err
			break
		}
		held = append(held, l)
	}
	var lost error
	for _, l := range held {
		lost = errors.Join(lost, l.Unlock())
	}
	f := fact{ok: true, text: fmt.Sprintf("%d locks were held at the same time", len(held))}
	if refused != nil {
		f = fact{ok: errors.Is(refused, efsshare.ErrLockQuota), text: fmt.Sprintf("after %d locks: %v", len(held), refused)}
	}
	if lost != nil {
		f.ok, f.text = false, fmt.Sprintf("%s; and some were lost: %.200v", f.text, lost)
	}
	return f, b.say(ctx, step+" found", "")
}

// leave removes what the run wrote, but for its locks, whose files stay.
func (b *bench) leave(ctx context.Context) error {
	if b.Role == "b" {
		return b.say(ctx, "end", "")
	}
	if _, err := b.hear(ctx, "end"); err != nil {
		return err
	}
	return fsshare.RemoveAll(ctx, b.share, b.Folder)
}
