package uml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
)

// Do boots the kernel with this very program as process 1, which must call
// guest.Main when guest.IsInit says so, has it do the job and returns what came
// of it. The job's Modules are the kernel's. The guest may have a second machine.
func (k Kernel) Do(ctx context.Context, job guest.Job, streams Streams, options *Options) (guest.Result, error) {
	job.Modules = k.Modules
	o := options.WithDefaults()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	other, err := newSecond(ctx, k, job, o.Console)
	if err != nil {
		return guest.Result{}, err
	}
	defer other.close()
	o.files, o.Words = other.files, append(o.Words, other.words...)
	return k.do(ctx, job, streams, &o)
}

// do is Do for a machine whose wires and files are among the options.
func (k Kernel) do(ctx context.Context, job guest.Job, streams Streams, options *Options) (guest.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return guest.Result{}, err
	}
	folder, err := os.MkdirTemp("", "nfstest-")
	if err != nil {
		return guest.Result{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }()

	text, err := json.Marshal(job)
	if err != nil {
		return guest.Result{}, err
	}
	if err := os.WriteFile(filepath.Join(folder, guest.JobFile), text, 0o600); err != nil {
		return guest.Result{}, err
	}
	o := options.WithDefaults()
	o.Words = append(o.Words, guest.JobFolder+"="+folder)
	var last tail
	if o.Console == nil {
		o.Console = &last
	} else {
		o.Console = io.MultiWriter(&last, o.Console)
	}
	runErr := k.Run(ctx, self, folder, streams, &o)

	text, err = os.ReadFile(filepath.Join(folder, guest.ResultFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("the guest ended without a result")
	}
	if runErr != nil {
		err = runErr
	}
	var result guest.Result
	if err == nil {
		err = json.Unmarshal(text, &result)
	}
	if err == nil && result.Error != "" {
		err = errors.New(result.Error)
	}
	if err != nil {
		return guest.Result{}, fmt.Errorf("%w\nthe guest's console ended with:\n%s", err, last.String())
	}
	return result, nil
}
