package uml

import (
	"context"
	"errors"
	"io"

	"github.com/genaistore/genaistore/internal/nfstest/debian"
)

const packageName = "user-mode-linux"

func packages() debian.Set {
	return debian.Set{
		Packages: []string{packageName},
		Known:    map[string]string{"user-mode-linux_6.1um4+b13_amd64": "0ce700f835c385ab09860ad33137817402403a29e424177510244bd75a81c687"},
	}
}

// Install brings Debian's kernel package into the cache folder, if it is not
// there, and returns it. It needs apt-get and dpkg-deb, but no rights, and
// changes nothing outside of the cache. What it does is written to log.
func Install(ctx context.Context, cache string, log io.Writer) (Kernel, error) {
	err := debian.Install(ctx, cache, packages(), log, func() bool {
		_, err := Find(cache)
		return !errors.Is(err, ErrNotInstalled)
	})
	if err != nil {
		return Kernel{}, err
	}
	return Find(cache)
}
