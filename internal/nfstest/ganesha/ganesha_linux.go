package ganesha

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Server is one nfs-ganesha. It exports a folder as "/" by NFSv4 to whoever asks.
// It grants no delegations, as Amazon EFS never does.
type Server struct {
	Folder string // where the packages are unpacked
	Export string
	State  string // a folder for its files
	Squash bool   // root of a client is nobody here
	Lease  time.Duration
	Grace  time.Duration

	// OnThread calls a function on a thread that ends with it.
	OnThread func(func() error) error

	process *exec.Cmd
	resumed time.Time
}

const port = 2049

// Start starts the server. Forgetful, it gives earlier clients no time of grace in
// which to claim what they held.
func (s *Server) Start(forgetful bool) error {
	config := filepath.Join(s.State, "ganesha.conf")
	if err := os.MkdirAll(s.recovery(), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(config, []byte(s.config(forgetful)), 0o600); err != nil {
		return err
	}
	libraries := func(dirs ...string) string {
		for i, d := range dirs {
			dirs[i] = filepath.Join(s.Folder, d)
		}
		return strings.Join(dirs, ":")
	}
	// Nobody could cancel it: it lives as long as the machine, or until Stop.
	s.process = exec.Command(filepath.Join(s.Folder, program), "-F", "-f", config, "-L", s.log(), "-p", filepath.Join(s.State, "pid"), "-N", "NIV_EVENT")
	s.process.Env = []string{"LD_LIBRARY_PATH=" + libraries("usr/lib/ganesha", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")}
	s.process.Dir = s.State
	if err := os.Rename(s.log(), s.log()+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := s.OnThread(s.startApart); err != nil {
		return err
	}
	s.resumed = time.Now()
	return s.await()
}

// startApart starts the server where it has a /tmp to write to: without one, it
// takes the kernel for one that has no locks of open files, and does without.
func (s *Server) startApart() error {
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount /", err)
	}
	if err := syscall.Mount(s.State, "/tmp", "", syscall.MS_BIND, ""); err != nil {
		return os.NewSyscallError("mount /tmp", err)
	}
	return s.process.Start()
}

func (s *Server) log() string { return filepath.Join(s.State, "log") }

func (s *Server) recovery() string { return filepath.Join(s.State, "recovery") }

// await waits until the server answers.
func (s *Server) await() error {
	const ready = "NFS SERVER INITIALIZED"
	const patience, rest = 20 * time.Second, 20 * time.Millisecond
	for start := time.Now(); ; {
		conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			if err := conn.Close(); err != nil {
				return err
			}
			text, err := os.ReadFile(s.log())
			if err != nil || bytes.Contains(text, []byte(ready)) {
				return err
			}
		}
		var status syscall.WaitStatus
		if pid, _ := syscall.Wait4(s.process.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || time.Since(start) > patience {
			text, _ := os.ReadFile(s.log())
			return fmt.Errorf("nfs-ganesha does not listen after %v (%v): %w; its log ends with:\n%s",
				time.Since(start).Round(time.Millisecond), status, err, text[max(0, len(text)-4000):])
		}
		<-time.After(rest)
	}
}

func (s *Server) config(forgetful bool) string {
	squash := "None"
	if s.Squash {
		squash = "Root_Squash"
	}
	return fmt.Sprintf(`
NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; NFS_Port = %d; mount_path_pseudo = true; Plugins_Dir = "%s"; }
NFSV4 {
	Lease_Lifetime = %d; Grace_Period = %d; Graceless = %t; Minor_Versions = 0,1,2; Delegations = false;
	UseGetpwnam = true; Only_Numeric_Owners = true; DomainName = "localdomain";
	RecoveryBackend = fs; RecoveryRoot = "%s";
}
NFS_KRB5 { Active_krb5 = false; }
EXPORT_DEFAULTS { Squash = %[7]s; Attr_Expiration_Time = 0; }
EXPORT {
	Export_Id = 1; Path = "%[8]s"; Pseudo = "/"; Access_Type = RW; Squash = %[7]s; SecType = sys; Protocols = 4; Transports = TCP;
	FSAL { Name = VFS; }
}
LOG { Default_Log_Level = EVENT; }
`, port, filepath.Join(s.Folder, "usr/lib/x86_64-linux-gnu/ganesha"), s.Lease/time.Second, s.Grace/time.Second, forgetful,
		s.recovery(), squash, s.Export)
}

// Stop kills the server: it has no time to tell anyone.
func (s *Server) Stop() error {
	if err := s.process.Process.Kill(); err != nil {
		return err
	}
	err := s.process.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	return err
}

// EndGrace waits until the period of grace is over: this server cannot be told. It
// ends it by itself when all its clients have said that they have claimed what they
// held, and looks for that now and then.
func (s *Server) EndGrace() error {
	const ended = "NFS Server Now NOT IN GRACE"
	const rest = 100 * time.Millisecond
	for patience := s.Grace + 20*time.Second; time.Since(s.resumed) < patience; <-time.After(rest) {
		text, err := os.ReadFile(s.log())
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte(ended)) {
			return nil
		}
	}
	return fmt.Errorf("nfs-ganesha is still in grace %v after its start", time.Since(s.resumed).Round(time.Second))
}
