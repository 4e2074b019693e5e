package efsshare

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

// A Report is what [Share.Doctor] found.
type Report struct {
	Dir        string
	Mount      Mount
	Kind       Kind
	FileSystem string // the EFS file system's id, where it can be known
	Hanging    int    // calls that hang
	Findings   []Finding
}

// A Finding is something about the mount that should be otherwise.
type Finding struct {
	Check  string // a short name: "vers", "soft", "read_ahead_kb"
	Danger bool   // data or exclusion is at risk; otherwise it is slow, or unwise
	Text   string
	Remedy string
}

// DoctorOptions adjusts a Doctor. A nil *DoctorOptions means the zero value.
type DoctorOptions struct {
	// Probe also asks the server, as [Share.Probe] does; without it nothing touches
	// the mount.
	Probe bool
	// Zone is the availability zone of this machine, such as "eu-west-1a". If empty,
	// it is what cloud-init has written down, if anything.
	Zone string
}

// Doctor looks at the mount, its options and the kernel's settings. It reads the
// kernel's tables, which works while the mount hangs.
func (s *Share) Doctor(ctx context.Context, opts *DoctorOptions) (Report, error) {
	r, err := s.examine(ctx, opts)
	if err != nil {
		return Report{}, wrap("examine", s.dir, kind(err))
	}
	return r, nil
}

func (s *Share) examine(ctx context.Context, opts *DoctorOptions) (Report, error) {
	if err := ended(ctx); err != nil {
		return Report{}, err
	}
	m, err := findMount(s.system.Tables(), s.dir)
	if err != nil {
		return Report{}, err
	}
	r := Report{Dir: s.dir, Mount: m, Hanging: s.pool.hanging()}
	r.Kind, r.FileSystem = m.kind(s.system.Tables())
	if opts == nil {
		opts = &DoctorOptions{}
	}
	r.Findings = s.lint(r, opts.Zone)
	if !opts.Probe {
		return r, nil
	}
	size, err := s.probe(ctx)
	switch {
	case errors.Is(err, fsshare.ErrHung):
		r.Findings = append(r.Findings, Finding{
			"probe", true, "the server does not answer",
			"look at the security group (port 2049), the mount target, and the mount helper's proxy; what hangs goes on when the server answers, or ends with its process",
		})
	case err != nil:
		return Report{}, err
	case size == efsSize && (r.Kind == OtherNFS || r.Kind == MaybeEFS):
		r.Kind = MaybeEFS
	}
	return r, nil
}

// efsSize is the size that Amazon EFS reports for every file system: 8 EiB.
const efsSize = 1 << 63

// Probe asks the server for the file system's size from a process of its own, the
// program stat, and kills it when ctx ends or the options' Timeout has passed: a
// process can be killed in a call that hangs, a thread cannot. A mount that hangs
// is fsshare.ErrHung.
func (s *Share) Probe(ctx context.Context) error {
	if _, err := s.probe(ctx); err != nil {
		return wrap("probe", s.dir, err)
	}
	return nil
}

func (s *Share) probe(ctx context.Context) (size float64, err error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	limit, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	// To start a process closes files in it, for which the kernel writes what this
	// process has not written yet: that hangs too.
	size, err = call(limit, s.pool, func() (float64, error) { return s.system.Size(limit, s.dir) }, nil)
	if limit.Err() != nil {
		return 0, errors.Join(ended(ctx), fsshare.ErrHung)
	}
	return size, err
}

// lint lists what is wrong, by the tables alone.
func (s *Share) lint(r Report, zone string) []Finding {
	m := r.Mount
	if !m.NFS() {
		return []Finding{{
			"type", true, fmt.Sprintf("%s is on %s, a local file system: no other machine sees it", s.dir, m.Type),
			"mount the file system at " + m.Point + ", or take this for a test",
		}}
	}
	findings := slices.Concat(s.lintLocks(m), lintOptions(m), s.lintSpeed(m), s.lintHealth(m, r.Hanging))
	findings = slices.Concat(findings, s.lintHelper(r), s.lintZone(m, zone))
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(urgency(a), urgency(b)) })
	return findings
}

func urgency(f Finding) int {
	if f.Danger {
		return 0
	}
	return 1
}

func (s *Share) lintLocks(m Mount) (f []Finding) {
	if m.Version() != "4.1" && m.Version() != "4.2" {
		f = append(f, Finding{"vers", !strings.HasPrefix(m.Version(), "4"), "the mount is by NFSv" + m.Version(), "mount it with nfsvers=4.1"})
	}
	if err := m.refusal(s.system.Tables()); err != nil && strings.HasPrefix(m.Version(), "4") {
		f = append(f, Finding{"locks", true, err.Error(), "see the text; until then efsshare refuses locks here"})
	}
	host, err := fs.ReadFile(s.system.Tables(), "proc/sys/kernel/hostname")
	unique, _ := fs.ReadFile(s.system.Tables(), "sys/module/nfs/parameters/nfs4_unique_id")
	name := strings.TrimSpace(string(host))
	if err == nil && strings.TrimSpace(string(unique)) == "" && slices.Contains([]string{"", "(none)", "localhost", "localhost.localdomain"}, name) {
		f = append(f, Finding{
			"hostname", true,
			fmt.Sprintf("the machine is called %q and has no nfs4_unique_id: two such machines are one client to the server, and keep or drop each other's locks", name),
			"give each machine a name of its own before it mounts, or set the module parameter nfs4_unique_id of nfs",
		})
	}
	return f
}

func lintOptions(m Mount) (f []Finding) {
	has := func(option string) bool { _, ok := m.Options[option]; return ok }
	const leastTimeo, usualTimeo = 150, 600 // tenths of a second
	if has("soft") || has("softerr") {
		f = append(f, Finding{"soft", true, "the mount is soft: a server that is slow looks like a lost lock, and a write may be dropped with an error that nobody reads", "mount it with hard"})
	}
	if timeo := number(m.Options["timeo"]); timeo > 0 && timeo < leastTimeo {
		f = append(f, Finding{"timeo", false, fmt.Sprintf("requests are sent again after %d tenths of a second", timeo), fmt.Sprintf("mount it with timeo=%d", usualTimeo)})
	}
	if has("noac") || m.Options["actimeo"] == "0" || m.Options["acregmax"] == "0" {
		f = append(f, Finding{"noac", false, "attributes are not cached: everything asks the server", "leave the attribute caches on; efsshare reads fresh where it has to"})
	}
	if lookup := m.Options["lookupcache"]; lookup == "none" {
		f = append(f, Finding{"lookupcache", false, "names are not cached: every path asks the server for each of its parts", "leave lookupcache alone"})
	}
	if !has("noresvport") {
		f = append(f, Finding{"noresvport", true, "after a lost connection the client comes back from the same port, which a server may refuse: the mount can hang for minutes", "mount it with noresvport"})
	}
	if n := number(m.Options["nconnect"]); n > 1 {
		f = append(f, Finding{"nconnect", false, fmt.Sprintf("nconnect=%d: Amazon EFS does not support several connections of one mount", n), "mount it without nconnect"})
	}
	if has("nocto") {
		f = append(f, Finding{"nocto", true, "opening a file does not ask the server whether it changed: efsshare's reads may be as old as the attribute cache", "mount it without nocto"})
	}
	return f
}

const mebi = 1 << 20

func (s *Share) lintSpeed(m Mount) (f []Finding) {
	for _, option := range []string{"rsize", "wsize"} {
		if n := number(m.Options[option]); n > 0 && n < mebi {
			f = append(f, Finding{option, false, fmt.Sprintf("%s=%d: small requests", option, n), fmt.Sprintf("mount it with %s=%d", option, mebi)})
		}
	}
	const rsizes, kib = 15, 1024
	want := rsizes * cmp.Or(number(m.Options["rsize"]), mebi) / kib
	text, err := fs.ReadFile(s.system.Tables(), path.Join("sys/class/bdi", m.Device, "read_ahead_kb"))
	if have := number(strings.TrimSpace(string(text))); err == nil && have < want {
		f = append(f, Finding{
			"read_ahead_kb", false, fmt.Sprintf("the kernel reads %d KiB ahead: large files are read slowly", have),
			fmt.Sprintf("echo %d > /sys/class/bdi/%s/read_ahead_kb, as the EFS mount helper does", want, m.Device),
		})
	}
	return f
}

func (*Share) lintHealth(m Mount, hanging int) (f []Finding) {
	if m.Expired > 0 {
		f = append(f, Finding{"lease", true, fmt.Sprintf("the server has not answered for its lease of %v and %v more: locks of this machine are lost", m.Lease, m.Expired), "look at the network between this machine and the server"})
	}
	if hanging > 0 {
		f = append(f, Finding{"hanging", true, fmt.Sprintf("%d calls into the mount hang", hanging), "they return when the server answers; only killing the process ends them earlier"})
	}
	return f
}

// lintHelper looks whether the EFS mount helper's proxy is alive.
func (s *Share) lintHelper(r Report) []Finding {
	states, err := fs.Glob(s.system.Tables(), fmt.Sprintf("%s/fs-*.%s", helperTables, r.Mount.Options["port"]))
	if err != nil || len(states) == 0 || r.Mount.Options["port"] == "" {
		return nil
	}
	text, err := fs.ReadFile(s.system.Tables(), states[0])
	if err != nil {
		return nil // its folder is not for everyone to read
	}
	var state struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(text, &state); err != nil || state.PID <= 0 {
		return nil
	}
	if _, err := fs.Stat(s.system.Tables(), path.Join("proc", strconv.Itoa(state.PID))); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return []Finding{{
		"proxy", true, fmt.Sprintf("the mount helper's proxy, process %d, is gone: the mount hangs", state.PID),
		"start amazon-efs-mount-watchdog, which starts it again, or unmount with umount -f -l and mount again",
	}}
}

// lintZone looks whether the mount goes to another availability zone, which costs
// time and money with each request. A name without a zone is that of the target in
// the machine's own.
func (s *Share) lintZone(m Mount, mine string) []Finding {
	host, _, _ := strings.Cut(m.Source, ":")
	if host == "127.0.0.1" {
		host = s.tunnelled(m)
	}
	found := efsHost().FindStringSubmatch(host)
	if found == nil || found[1] == "" {
		return nil
	}
	theirs := strings.TrimSuffix(found[1], ".")
	if mine = cmp.Or(mine, s.zone()); mine == "" || mine == theirs {
		return nil
	}
	return []Finding{{
		"zone", false, fmt.Sprintf("this machine is in %s, and the mount target in %s", mine, theirs),
		"make a mount target in " + mine + ", and mount by the file system's name without a zone",
	}}
}

// tunnelled is the host at the other end of the mount helper's proxy, from the
// configuration that the helper wrote for it.
func (s *Share) tunnelled(m Mount) string {
	port := number(m.Options["port"])
	files, err := fs.Glob(s.system.Tables(), fmt.Sprintf("%s/stunnel-config.fs-*.%d", helperTables, port))
	if err != nil || len(files) == 0 {
		return ""
	}
	text, err := fs.ReadFile(s.system.Tables(), files[0])
	if err != nil {
		return "" // its folder is not for everyone to read
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) == "connect" {
			host, _, _ := strings.Cut(strings.TrimSpace(value), ":")
			return host
		}
	}
	return ""
}

// zone is the machine's, as cloud-init has written it down; it is what the instance's
// metadata said when it started.
func (s *Share) zone() string {
	text, err := fs.ReadFile(s.system.Tables(), "run/cloud-init/instance-data.json")
	if err != nil {
		return ""
	}
	var data struct {
		V1 struct {
			Zone string `json:"availability_zone"`
		} `json:"v1"`
	}
	if err := json.Unmarshal(text, &data); err != nil {
		return ""
	}
	return data.V1.Zone
}

// Health is what can be known of the mount without asking the server.
type Health struct {
	Hanging  int           // calls of this share that hang
	Open     bool          // the mount is asked: not so while half of the calls that may be under way hang
	Lease    time.Duration // see [Mount]
	Expired  time.Duration
	Backlog  int64
	Timeouts int64         // requests that had to be sent again, since the mount
	Requests int64         // requests, since the mount
	Waited   time.Duration // for their answers, in sum: the growth of both says how fast the server is now
}

// Health reads the kernel's tables, and touches nothing that can hang.
func (s *Share) Health() (Health, error) {
	m, err := findMount(s.system.Tables(), s.dir)
	if err != nil {
		return Health{}, wrap("health of", s.dir, kind(err))
	}
	return Health{
		Hanging: s.pool.hanging(), Open: !s.pool.stuck(),
		Lease: m.Lease, Expired: m.Expired, Backlog: m.Backlog, Timeouts: m.Timeouts, Requests: m.Requests, Waited: m.Waited,
	}, nil
}
