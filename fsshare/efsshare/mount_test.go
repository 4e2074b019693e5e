//go:build linux && (amd64 || arm64)

package efsshare_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

const mountinfo = `22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/l
30 22 0:40 / /mnt/efs rw,relatime shared:5 - nfs4 127.0.0.1:/ rw,vers=4.1,rsize=1048576,wsize=1048576,namlen=255,hard,noresvport,proto=tcp,port=20051,timeo=600,retrans=2,sec=sys,clientaddr=127.0.0.1,local_lock=none,addr=127.0.0.1
31 30 0:41 / /mnt/efs/with\040space rw - nfs4 eu-west-1a.fs-0123abcd.efs.eu-west-1.amazonaws.com:/team rw,vers=4.1,noresvport,local_lock=none
32 22 0:42 / /mnt/old rw - nfs server:/x rw,vers=3,nolock,local_lock=all
33 22 0:43 / /mnt/twice rw - ext4 /dev/a rw
34 22 0:44 / /mnt/twice rw - nfs4 server:/y rw,vers=4.2,local_lock=none,soft,timeo=20
not a line of it
`

const mountstats = `device overlay mounted on / with fstype overlay
device 127.0.0.1:/ mounted on /mnt/efs with fstype nfs4 statvers=1.1
	opts:	rw,vers=4.1,rsize=1048576
	nfsv4:	bm0=0xfdffbfff,bm1=0x40f9be3e,bm2=0x68803,acl=0x3,sessions,pnfs=not configured,lease_time=90,lease_expired=7
	xprt:	tcp 0 0 2 0 11 1000 999 0 5000 42 8 100 200
	per-op statistics
	        NULL: 1 1 0 44 24 0 0 0 0
	        READ: 10 12 2 44 24 3 4 7 0
	       WRITE: 10 12 3 44 24 0 5 6 0

device server:/y mounted on /mnt/twice with fstype nfs4 statvers=1.1
	nfsv4:	bm0=0xfdffbfff,lease_time=10,lease_expired=0
`

// tables makes the files of a system. More are pairs of a path and its text.
func tables(t *testing.T, more ...string) efsshare.System {
	t.Helper()
	dir := t.TempDir()
	files := append([]string{"proc/self/mountinfo", mountinfo, "proc/self/mountstats", mountstats, "proc/sys/kernel/hostname", "worker-7\n"}, more...)
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(files[i+1]), 0o666))
	}
	return efsshare.Tabled{Files: os.DirFS(dir)}
}

func TestTheMountOfADirectoryIsTheLongestAndLast(t *testing.T) {
	for dir, want := range map[string][2]string{
		"/":                          {"/", "overlay"},
		"/mnt":                       {"/", "overlay"},
		"/mnt/efs":                   {"/mnt/efs", "nfs4"},
		"/mnt/efs/a/b":               {"/mnt/efs", "nfs4"},
		"/mnt/efsx":                  {"/", "overlay"},
		"/mnt/efs/with space/tenant": {"/mnt/efs/with space", "nfs4"},
		"/mnt/twice/x":               {"/mnt/twice", "nfs4"},
	} {
		m, ok := efsshare.MountOf([]byte(mountinfo), dir)
		require.True(t, ok, dir)
		require.Equal(t, want, [2]string{m.Point, m.Type}, dir)
	}
	_, ok := efsshare.MountOf([]byte("nothing\n"), "/")
	require.False(t, ok)
}

func TestTheKernelTellsTheLeaseOfAMount(t *testing.T) {
	m, ok := efsshare.MountOf([]byte(mountinfo), "/mnt/efs")
	require.True(t, ok)
	m.AddStats([]byte(mountstats))
	require.Equal(t, 90*time.Second, m.Lease)
	require.Equal(t, 7*time.Second, m.Expired)
	require.EqualValues(t, 42, m.Backlog)
	require.EqualValues(t, 5, m.Timeouts)
	require.EqualValues(t, 21, m.Requests)
	require.Equal(t, 9*time.Millisecond, m.Waited)
	require.Equal(t, "4.1", m.Version())
	require.True(t, m.NFS())
}

func FuzzMountTables(f *testing.F) {
	f.Add([]byte(mountinfo), []byte(mountstats), "/mnt/efs/a")
	f.Add([]byte(`1 2 0:1 / \057 rw - nfs4 a:/ rw,lease_time=99999999999999999999`), []byte("device a mounted on / with\nnfsv4: lease_time=99999999999999999,lease_expired=-5\nxprt: tcp\n"), "/")
	f.Fuzz(func(t *testing.T, info, stats []byte, dir string) {
		m, ok := efsshare.MountOf(info, dir)
		if !ok {
			return
		}
		m.AddStats(stats)
		require.True(t, filepath.IsAbs(m.Point))
		require.True(t, dir == m.Point || strings.HasPrefix(dir, m.Point))
		require.GreaterOrEqual(t, m.Lease, time.Duration(0))
		require.GreaterOrEqual(t, m.Expired, time.Duration(0))
		require.GreaterOrEqual(t, m.Backlog, int64(0))
	})
}

// shareOn is a share whose kernel says that it is mounted so.
func shareOn(t *testing.T, options, stats string, more ...string) (*efsshare.Share, error) {
	t.Helper()
	s := open(t, t.TempDir())
	path, err := s.LockPath("x")
	require.NoError(t, err)
	dir, _, _ := strings.Cut(path, "/.fsshare")
	info := mountinfo + "90 22 0:90 / " + dir + " rw - nfs4 " + options + "\n"
	text := mountstats + "device x mounted on " + dir + " with fstype nfs4 statvers=1.1\n" + stats
	return s.On(tables(t, append([]string{"proc/self/mountinfo", info, "proc/self/mountstats", text}, more...)...))
}

const sound = "vers=4.1,hard,noresvport,rsize=1048576,wsize=1048576,timeo=600,local_lock=none"

func TestLocksThatExcludeNobodyAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		more    []string
		reason  string
	}{
		"local locks":         {"s:/ rw,vers=4.1,local_lock=flock", nil, "without local_lock"},
		"no locks":            {"s:/ rw,vers=4.0,nolock,local_lock=none", nil, "nolock"},
		"NFSv3":               {"s:/ rw,vers=3,local_lock=none", nil, "nfsvers=4.1"},
		"locks taken again":   {"s:/ rw," + sound, []string{"sys/module/nfs/parameters/recover_lost_locks", "Y\n"}, "recover_lost_locks"},
		"a way to write NFS3": {"s:/ rw,local_lock=none", nil, "nfsvers=4.1"},
	} {
		s, err := shareOn(t, c.options, "", c.more...)
		require.NoError(t, err)
		_, err = s.Lock(t.Context(), "lock", nil)
		require.ErrorIs(t, err, efsshare.ErrNotShared, name)
		require.ErrorIs(t, err, fsshare.ErrDenied, name)
		require.ErrorContains(t, err, c.reason, name)
		require.ErrorIs(t, s.Append(t.Context(), "log", []byte("x")), efsshare.ErrNotShared, name)
		r, err := s.Doctor(t.Context(), nil)
		require.NoError(t, err)
		require.NotEmpty(t, r.Findings)
		require.True(t, r.Findings[0].Danger, "%+v", r.Findings)
	}
	s, err := shareOn(t, "s:/ rw,"+sound, "", "sys/module/nfs/parameters/recover_lost_locks", "N\n")
	require.NoError(t, err)
	_, err = s.Lock(t.Context(), "lock", nil)
	require.NoError(t, err)
}

func checks(r efsshare.Report) []string {
	found := []string{}
	for _, f := range r.Findings {
		found = append(found, f.Check)
	}
	return found
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, options, stats string
		more                 []string
		want                 []string
	}{
		{"nothing", "s:/ rw," + sound, "", nil, []string{}},
		{"soft", "s:/ rw," + sound + ",soft", "", nil, []string{"soft"}},
		{"softerr", "s:/ rw," + sound + ",softerr", "", nil, []string{"soft"}},
		{"timeo", "s:/ rw," + sound + ",timeo=50", "", nil, []string{"timeo"}},
		{"small requests", "s:/ rw," + sound + ",rsize=4096,wsize=4096", "", nil, []string{"rsize", "wsize"}},
		{"resvport", "s:/ rw,vers=4.1,hard,local_lock=none", "", nil, []string{"noresvport"}},
		{"noac", "s:/ rw," + sound + ",noac", "", nil, []string{"noac"}},
		{"actimeo", "s:/ rw," + sound + ",acregmax=0", "", nil, []string{"noac"}},
		{"lookupcache", "s:/ rw," + sound + ",lookupcache=none", "", nil, []string{"lookupcache"}},
		{"nocto", "s:/ rw," + sound + ",nocto", "", nil, []string{"nocto"}},
		{"several connections", "s:/ rw," + sound + ",nconnect=4", "", nil, []string{"nconnect"}},
		{
			"a mount target in another zone", "eu-west-1b.fs-0123abcd.efs.eu-west-1.amazonaws.com:/ rw," + sound, "",
			[]string{"run/cloud-init/instance-data.json", `{"v1": {"availability_zone": "eu-west-1a"}}`},
			[]string{"zone"},
		},
		{
			"a mount target in the same zone", "eu-west-1a.fs-0123abcd.efs.eu-west-1.amazonaws.com:/ rw," + sound, "",
			[]string{"run/cloud-init/instance-data.json", `{"v1": {"availability_zone": "eu-west-1a"}}`},
			[]string{},
		},
		{
			"a name without a zone", "fs-0123abcd.efs.eu-west-1.amazonaws.com:/ rw," + sound, "",
			[]string{"run/cloud-init/instance-data.json", `{"v1": {"availability_zone": "eu-west-1a"}}`},
			[]string{},
		},
		{"a zone, and nobody knows the machine's", "eu-west-1b.fs-0123abcd.efs.eu-west-1.amazonaws.com:/ rw," + sound, "", []string{"run/cloud-init/instance-data.json", `{`}, []string{}},
		{
			"a tunnel to another zone", "127.0.0.1:/ rw," + sound + ",port=20055", "",
			[]string{
				"var/run/efs/stunnel-config.fs-0123abcd.mnt.efs.20055", "fips = no\n[efs]\nconnect = eu-west-1b.fs-0123abcd.efs.eu-west-1.amazonaws.com:2049\n",
				"run/cloud-init/instance-data.json", `{"v1": {"availability_zone": "eu-west-1a"}}`,
			},
			[]string{"zone"},
		},
		{"NFSv4.0", "s:/ rw," + sound + ",vers=4.0", "", nil, []string{"vers"}},
		{"the lease ran out", "s:/ rw," + sound, "\tnfsv4:\tlease_time=90,lease_expired=3\n", nil, []string{"lease"}},
		{"little is read ahead", "s:/ rw," + sound, "", []string{"sys/class/bdi/0:90/read_ahead_kb", "128\n"}, []string{"read_ahead_kb"}},
		{"enough is read ahead", "s:/ rw," + sound, "", []string{"sys/class/bdi/0:90/read_ahead_kb", "15360\n"}, []string{}},
		{"a name like others", "s:/ rw," + sound, "", []string{"proc/sys/kernel/hostname", "localhost\n"}, []string{"hostname"}},
		{
			"a name like others, and an id", "s:/ rw," + sound, "",
			[]string{"proc/sys/kernel/hostname", "localhost\n", "sys/module/nfs/parameters/nfs4_unique_id", "i-0123\n"},
			[]string{},
		},
		{"the proxy is gone", "127.0.0.1:/ rw," + sound + ",port=20055", "", []string{"var/run/efs/fs-0123abcd.mnt.efs.20055", `{"pid": 4711}`}, []string{"proxy"}},
		{
			"the proxy is there", "127.0.0.1:/ rw," + sound + ",port=20055", "",
			[]string{"var/run/efs/fs-0123abcd.mnt.efs.20055", `{"pid": 4711}`, "proc/4711/stat", ""},
			[]string{},
		},
		{"a state of the helper that cannot be read", "127.0.0.1:/ rw," + sound + ",port=20055", "", []string{"var/run/efs/fs-0123abcd.mnt.efs.20055", `{`}, []string{}},
	} {
		s, err := shareOn(t, c.options, c.stats, c.more...)
		require.NoError(t, err)
		r, err := s.Doctor(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, c.want, checks(r), c.name)
		for _, f := range r.Findings {
			require.NotEmpty(t, f.Text)
			require.NotEmpty(t, f.Remedy)
		}
	}
	r, err := open(t, t.TempDir()).Doctor(t.Context(), &efsshare.DoctorOptions{Probe: true})
	require.NoError(t, err)
	require.Equal(t, []string{"type"}, checks(r))
	require.Equal(t, efsshare.Local, r.Kind)
}

func TestDoctorIsToldTheZone(t *testing.T) {
	s, err := shareOn(t, "eu-west-1b.fs-0123abcd.efs.eu-west-1.amazonaws.com:/ rw,"+sound, "")
	require.NoError(t, err)
	for zone, want := range map[string][]string{"eu-west-1a": {"zone"}, "eu-west-1b": {}} {
		r, err := s.Doctor(t.Context(), &efsshare.DoctorOptions{Zone: zone})
		require.NoError(t, err)
		require.Equal(t, want, checks(r), zone)
	}
}

func TestEFSIsRecognised(t *testing.T) {
	for _, c := range []struct {
		name, source string
		more         []string
		kind         efsshare.Kind
		id           string
	}{
		{"by name", "fs-0123abcd.efs.eu-west-1.amazonaws.com:/", nil, efsshare.EFS, "fs-0123abcd"},
		{"by name in a zone", "eu-west-1a.fs-0123abcd.efs.eu-west-1.amazonaws.com:/", nil, efsshare.EFS, "fs-0123abcd"},
		{"by name in China", "fs-0123abcd.efs.cn-north-1.amazonaws.com.cn:/", nil, efsshare.EFS, "fs-0123abcd"},
		{"by the helper's state", "127.0.0.1:/", []string{"var/run/efs/fs-99ff.mnt.efs.20055", "{}"}, efsshare.EFS, "fs-99ff"},
		{"by the helper's port", "127.0.0.1:/", nil, efsshare.MaybeEFS, ""},
		{"another server", "fileserver:/", nil, efsshare.OtherNFS, ""},
		{"a name that only looks like it", "fs-0123abcd.efs.eu-west-1.amazonaws.evil:/", nil, efsshare.OtherNFS, ""},
	} {
		options := c.source + " rw," + sound
		if strings.HasPrefix(c.source, "127.") {
			options += ",port=20055"
		}
		s, err := shareOn(t, options, "", c.more...)
		require.NoError(t, err)
		r, err := s.Doctor(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, c.kind, r.Kind, c.name)
		require.Equal(t, c.id, r.FileSystem, c.name)
	}
}
