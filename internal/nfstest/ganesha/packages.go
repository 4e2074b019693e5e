// Package ganesha runs nfs-ganesha, an NFS server that is an ordinary program: the
// second implementation that tests run on, by other hands than the kernel's.
//
// It is Debian 12's, unpacked into the cache with the libraries that it needs, but
// for the C library, which is the host's.
package ganesha

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/genaistore/genaistore/internal/nfstest/debian"
)

// ErrNotInstalled says that the cache has no nfs-ganesha.
var ErrNotInstalled = errors.New("no nfs-ganesha in the cache")

const program = "usr/bin/ganesha.nfsd"

func packages() debian.Set {
	return debian.Set{
		Packages: []string{
			"nfs-ganesha", "nfs-ganesha-vfs", "libntirpc4.3", "liburcu8", "libnfsidmap1", "libwbclient0", "libacl1", "libblkid1", "libbsd0",
			"libcap2", "libcom-err2", "libdbus-1-3", "libgcrypt20", "libgpg-error0", "libgssapi-krb5-2", "libk5crypto3", "libkeyutils1",
			"libkrb5-3", "libkrb5support0", "liblz4-1", "liblzma5", "libmd0", "libsystemd0", "libuuid1", "libzstd1",
		},
		Known: map[string]string{
			"libacl1_2.3.1-3_amd64":                         "8be9df5795114bfe90e2be3d208ef47a5edd3fc7b3e20d387a597486d444e5e2",
			"libblkid1_2.38.1-5+deb12u3_amd64":              "5a083377f29191cafcdf0f91ec124349b4a7895b531556633a136e43c6d53943",
			"libbsd0_0.11.7-2_amd64":                        "bb31cc8b40f962a85b2cec970f7f79cc704a1ae4bad24257a822055404b2c60b",
			"libcap2_1%3a2.66-4+deb12u3+b1_amd64":           "8d684c673e7483802a5c447834b0df6fce006eb3a7109e1be412f5ad425bb24f",
			"libcom-err2_1.47.0-2+b2_amd64":                 "a2bac7015e78fbc0c504df3e441f3a22292f1d2d77f9ccda760057f3690e22f2",
			"libdbus-1-3_1.14.10-1~deb12u1_amd64":           "18ee0ce5fab9f7b671e87da1e9fa18660e36e04a3402f24bdb8635e0ba1d35f6",
			"libgcrypt20_1.10.1-3+deb12u1_amd64":            "e7a56552139c693904a6f9712234c05fe918353273a7cbdb5e62f423ad71bb97",
			"libgpg-error0_1.46-1_amd64":                    "89944ee11d7370ce6ef46fc52f094c4a6512eff8943ec4c6ebefeae6360ceada",
			"libgssapi-krb5-2_1.20.1-2+deb12u5_amd64":       "d8b87aea91b956b416c01a28c44ff6228315ae3b73de40acddac3dc5043607d2",
			"libk5crypto3_1.20.1-2+deb12u5_amd64":           "7b6e47d15c5c9cdcd456137533d8308aeba608a54cec73b28bd59bfc4b54cf06",
			"libkeyutils1_1.6.3-2_amd64":                    "cfac89e6a7a54ff3c6a4f843310e25efeddaa771baeae470bd98bd588c373563",
			"libkrb5-3_1.20.1-2+deb12u5_amd64":              "c90801be09701af221b54dd502a59cb378b7284ff31e480738baca317d2f7653",
			"libkrb5support0_1.20.1-2+deb12u5_amd64":        "8b9c05f2d8d461a10d657b118f572af5bf8fd6c8f93dcef81e852c5ab0f428ab",
			"liblz4-1_1.9.4-1_amd64":                        "64cde86cef1deaf828bd60297839b59710b5cd8dc50efd4f12643caaee9389d3",
			"liblzma5_5.4.1-1+deb12u2_amd64":                "3d8c29c8c21ec6007635e1b2591edf98b771c9572a085968f47452b33040f384",
			"libmd0_1.0.4-2_amd64":                          "03539fd30c509e27101d13a56e52eda9062bdf1aefe337c07ab56def25a13eab",
			"libnfsidmap1_1%3a2.6.2-4+deb12u1_amd64":        "ac06d355b1effb7786313eacc762963457354caad6bce60d2053a90581c21e3b",
			"libntirpc4.3_4.3-2_amd64":                      "ff994fc7981f89d6109391840371f07dab5da293486f231abe98f6b75e8d6d41",
			"libsystemd0_252.39-1~deb12u2_amd64":            "013c07514a9e4933b2d5c098018695a6aa42d085dbc483ce2c094a954c8a1b0a",
			"liburcu8_0.13.2-1_amd64":                       "8647049698200fb5e20a130a09059b51878bb98643a120c7b0c6cbfd3f9b42dd",
			"libuuid1_2.38.1-5+deb12u3_amd64":               "5fff398321da62d28a842bcbabd193d72ae21724962c029dc32b1dc6b2deaeaf",
			"libwbclient0_2%3a4.17.12+dfsg-0+deb12u4_amd64": "5d3cd7c22cfab552afcd0cfc514890a4ac1498507693b1262f3de8af47ab3bc4",
			"libzstd1_1.5.4+dfsg2-5_amd64":                  "6315b5ac38b724a710fb96bf1042019398cb656718b1522279a5185ed39318fa",
			"nfs-ganesha-vfs_4.3-2_amd64":                   "cc7d9043eaa2889d85b485b1a6a1ca886eaffa20dfb795fc3f129f6e9ad92f8d",
			"nfs-ganesha_4.3-2_amd64":                       "2ed8b2a2130f67fcb40503be612fb415fd41b5208707395fa4d8cca2db4ec02c",
		},
	}
}

// Install brings the server into the cache folder, if it is not there, and returns
// where. What it does is written to log.
func Install(ctx context.Context, cache string, log io.Writer) (folder string, err error) {
	err = debian.Install(ctx, cache, packages(), log, func() bool {
		_, err := Find(cache)
		return err == nil
	})
	if err != nil {
		return "", err
	}
	return Find(cache)
}

// Find returns the folder of the server in a cache folder, the last by name if
// there are several, or an error that matches ErrNotInstalled.
func Find(cache string) (folder string, err error) {
	found, err := filepath.Glob(filepath.Join(cache, "nfs-ganesha_*"))
	if err != nil {
		return "", err
	}
	for _, f := range found {
		if _, err := os.Stat(filepath.Join(f, program)); err == nil {
			folder = f
		}
	}
	if folder == "" {
		return "", fmt.Errorf("%w %s: go run github.com/genaistore/genaistore/internal/nfstest/nfsexec -install", ErrNotInstalled, cache)
	}
	return folder, nil
}
