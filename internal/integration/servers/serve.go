package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Serve installs what is missing of the named servers, starts them on 127.0.0.1,
// writes a line for each that says where it is, and stops them when ctx ends. It is
// for a person who wants to try a program on them; tests use the getters.
func Serve(ctx context.Context, w io.Writer, names ...Name) error {
	s, err := environment()
	if err != nil {
		return err
	}
	f := newFleet(s)
	f.isolated = false
	defer f.stop()
	for _, name := range names {
		srv := byName(name)
		if srv == nil || srv.command == nil {
			return fmt.Errorf("there is no server %q: %v", name, Names())
		}
		if why := missing(ctx, srv.runs); why != "" {
			return fmt.Errorf("%s: %s", name, why)
		}
		if _, err := f.cache.install(ctx, srv); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		one := f.server(name) //nolint:contextcheck,nolintlint // a server outlives whoever asks for it first; stop ends it
		if err := errors.Join(one.err, unless(one.skip)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := fmt.Fprintf(w, "%s %s: %s\n", name, srv.version, one.process.base); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// unless makes an error of the reason why there is no server.
func unless(skip string) error {
	if skip == "" {
		return nil
	}
	return errors.New(skip)
}
