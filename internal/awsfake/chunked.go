package awsfake

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// checksums are the headers, or trailers, with a checksum that the fake verifies.
// It refuses uploads with another one.
var checksums = map[string]func([]byte) []byte{
	"X-Amz-Checksum-Sha1": func(data []byte) []byte {
		sum := sha1.Sum(data)
		return sum[:]
	},
	"X-Amz-Checksum-Sha256": func(data []byte) []byte {
		sum := sha256.Sum256(data)
		return sum[:]
	},
	"X-Amz-Checksum-Crc32": func(data []byte) []byte {
		return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
	},
	"X-Amz-Checksum-Crc32c": func(data []byte) []byte {
		return binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	},
	"X-Amz-Checksum-Crc64nvme": func(data []byte) []byte {
		return binary.BigEndian.AppendUint64(nil, crc64.Checksum(data, crc64.MakeTable(0x9a6c9329ac4bc9b5)))
	},
}

// codings are the content encodings of a request, which may be in several headers.
func codings(header http.Header) []string {
	return strings.FieldsFunc(strings.Join(header.Values("Content-Encoding"), ","), func(r rune) bool { return r == ',' || r == ' ' })
}

// upload returns the object in the body of r, and its verified checksums by header.
func upload(r *http.Request) ([]byte, map[string]string, error) {
	data, headers := body(r), r.Header
	if slices.Contains(codings(r.Header), "aws-chunked") {
		var trailer http.Header
		var err error
		if data, trailer, err = unchunk(data); err != nil {
			return nil, nil, &failure{http.StatusBadRequest, "InvalidRequest", err.Error()}
		}
		for _, announced := range r.Header.Values("X-Amz-Trailer") {
			if trailer.Get(announced) == "" {
				return nil, nil, &failure{http.StatusBadRequest, "MalformedTrailerError", "the trailer " + announced + " was announced and not sent"}
			}
		}
		headers = r.Header.Clone()
		maps.Copy(headers, trailer)
	}
	verified := map[string]string{}
	for name := range headers {
		if !strings.HasPrefix(name, checksumName) || name == "X-Amz-Checksum-Type" || name == "X-Amz-Checksum-Algorithm" {
			continue
		}
		sum, ok := checksums[name]
		if !ok {
			return nil, nil, &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + name}
		}
		want := base64.StdEncoding.EncodeToString(sum(data))
		if headers.Get(name) != want {
			return nil, nil, &failure{http.StatusBadRequest, "BadDigest", "the " + name + " you specified did not match what we received"}
		}
		verified[name] = want
	}
	return data, verified, nil
}

// unchunk undoes the aws-chunked encoding: chunks of "<hex size>[;signature]\r\n
// <data>\r\n", one of size 0, and "name:value\r\n" trailers.
func unchunk(coded []byte) (data []byte, trailer http.Header, err error) {
	for {
		head, rest, ok := bytes.Cut(coded, []byte("\r\n"))
		digits, _, _ := bytes.Cut(head, []byte(";"))
		size, err := strconv.ParseUint(string(digits), 16, 31)
		switch {
		case !ok || err != nil:
			return nil, nil, fmt.Errorf("chunk header %q", head)
		case size == 0:
			trailer, err := trailers(rest)
			return data, trailer, err
		case uint64(len(rest)) < size+2 || string(rest[size:size+2]) != "\r\n":
			return nil, nil, fmt.Errorf("chunk of %d bytes is cut off", size)
		}
		data = append(data, rest[:size]...)
		coded = rest[size+2:]
	}
}

func trailers(coded []byte) (http.Header, error) {
	trailer := http.Header{}
	for line := range bytes.SplitSeq(coded, []byte("\r\n")) {
		if len(line) == 0 {
			continue
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return nil, fmt.Errorf("trailer %q", line)
		}
		trailer.Add(name, strings.TrimSpace(value))
	}
	return trailer, nil
}
