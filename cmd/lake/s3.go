package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Everything on the S3 server of this machine; it is gone with the lake.
const (
	s3Key    = "test"
	s3Secret = "testtest"
	s3Region = "us-east-1"
	bucket   = "lake"
)

// objects is an S3 server, addressed by path. It signs by hand what an SDK of a hundred packages would: three
// requests without a body.
type objects struct {
	url string
}

// object is one entry of a listing.
type object struct {
	Key  string `xml:"Key"`
	ETag string `xml:"ETag"`
}

// make makes the bucket, where it is not there yet.
func (o objects) make(ctx context.Context) error {
	_, err := o.list(ctx, "none")
	if err != nil && strings.Contains(err.Error(), "NoSuchBucket") {
		_, err = o.do(ctx, http.MethodPut, bucket, nil)
	}
	return err
}

// list returns the objects under a prefix, in the order of their names.
func (o objects) list(ctx context.Context, prefix string) ([]object, error) {
	var all []object
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
	for {
		body, err := o.do(ctx, http.MethodGet, bucket, query)
		if err != nil {
			return nil, err
		}
		var page struct {
			Contents              []object
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := xml.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("list objects under %s: %w", prefix, err)
		}
		all = append(all, page.Contents...)
		if !page.IsTruncated {
			return all, nil
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

// get returns an object's bytes.
func (o objects) get(ctx context.Context, key string) ([]byte, error) {
	return o.do(ctx, http.MethodGet, bucket+"/"+key, nil)
}

// do makes one signed request without a body.
func (o objects) do(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	target, err := url.Parse(o.url)
	if err != nil {
		return nil, fmt.Errorf("S3 server: %w", err)
	}
	target.Path, target.RawQuery = "/"+path, strings.ReplaceAll(query.Encode(), "+", "%20")
	request, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	sign(request, time.Now().UTC())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return body, nil
}

// sign adds AWS's signature, version 4, of a request without a body. Host, date and the hash of the body are
// signed.
func sign(r *http.Request, now time.Time) {
	day, instant := now.Format("20060102"), now.Format("20060102T150405Z")
	empty := hash(nil)
	r.Header.Set("X-Amz-Date", instant)
	r.Header.Set("X-Amz-Content-Sha256", empty)
	const signed = "host;x-amz-content-sha256;x-amz-date"
	// AWS escapes all but letters, digits and -_.~ and the slashes of the path.
	path := strings.ReplaceAll(url.PathEscape(r.URL.Path), "%2F", "/")
	for _, c := range "=:@&$+" {
		path = strings.ReplaceAll(path, string(c), fmt.Sprintf("%%%02X", c))
	}
	canonical := strings.Join([]string{
		r.Method, path, r.URL.RawQuery,
		"host:" + r.URL.Host, "x-amz-content-sha256:" + empty, "x-amz-date:" + instant, "", signed, empty,
	}, "\n")
	scope := day + "/" + s3Region + "/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + instant + "\n" + scope + "\n" + hash([]byte(canonical))
	key := []byte("AWS4" + s3Secret)
	for _, part := range []string{day, s3Region, "s3", "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s3Key+"/"+scope+", SignedHeaders="+signed+
		", Signature="+hex.EncodeToString(key))
}

// hash returns a SHA-256 as text.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
