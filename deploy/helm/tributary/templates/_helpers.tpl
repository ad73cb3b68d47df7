{{- define "tributary.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tributary.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tributary.labels" -}}
{{ include "tributary.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tributary.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "tributary.name" . }}
{{- else }}default{{ end }}
{{- end }}

{{- define "tributary.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The file: what a container needs, then the secrets that are mounted, then what config says, which wins. */}}
{{- define "tributary.config" -}}
{{- $c := dict "http" (dict "listen" ":8080") "log" (dict "format" "json") "on_failure" "stay" -}}
{{- if .Values.http.existingSecret }}{{ $_ := set $c.http "token_from" "file:/etc/tributary/secrets/http/token" }}{{ end -}}
{{- if .Values.source.existingSecret -}}
{{- $_ := set $c "source" (dict "password_from" "file:/etc/tributary/secrets/source/password") }}{{ end -}}
{{- if .Values.kafka.existingSecret -}}
{{- $_ := set $c "kafka" (dict "password_from" "file:/etc/tributary/secrets/kafka/password") }}{{ end -}}
{{- if .Values.schemaRegistry.existingSecret -}}
{{- $_ := set $c "schema_registry" (dict "password_from" "file:/etc/tributary/secrets/registry/password") }}{{ end -}}
{{- toYaml (mergeOverwrite $c (deepCopy .Values.config)) }}
{{- end }}

{{/* The share of the memory limit that the Go runtime may use, in MiB. */}}
{{- define "tributary.gomemlimit" -}}
{{- $limit := .Values.resources.limits.memory -}}
{{- $mib := 0 -}}
{{- if hasSuffix "Gi" $limit }}{{ $mib = mul 1024 (trimSuffix "Gi" $limit | int) }}
{{- else }}{{ $mib = trimSuffix "Mi" $limit | int }}{{ end -}}
{{- printf "%dMiB" (div (mul $mib (.Values.memoryLimitPercent | int)) 100) }}
{{- end }}

{{- define "tributary.mounts" -}}
- {name: config, mountPath: /etc/tributary/config.yaml, subPath: config.yaml, readOnly: true}
{{- range $name, $secret := (include "tributary.secrets" . | fromYaml) }}
- {name: {{ $name }}-secret, mountPath: /etc/tributary/secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- if .Values.source.caBundle.configMap }}
- {name: source-ca, mountPath: /etc/tributary/ca, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tributary.volumes" -}}
- name: config
  configMap: {name: {{ include "tributary.name" . }}}
{{- range $name, $secret := (include "tributary.secrets" . | fromYaml) }}
- name: {{ $name }}-secret
  secret:
    secretName: {{ $secret.name }}
    defaultMode: 0440
    items: [{key: {{ $secret.key }}, path: {{ $secret.path }}}]
{{- end }}
{{- if .Values.source.caBundle.configMap }}
- name: source-ca
  configMap:
    name: {{ .Values.source.caBundle.configMap }}
    items: [{key: {{ .Values.source.caBundle.key }}, path: source.pem}]
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tributary.secrets" -}}
{{- with .Values.source }}{{ if .existingSecret }}
source: {name: {{ .existingSecret }}, key: {{ .passwordKey }}, path: password}
{{- end }}{{ end }}
{{- with .Values.kafka }}{{ if .existingSecret }}
kafka: {name: {{ .existingSecret }}, key: {{ .passwordKey }}, path: password}
{{- end }}{{ end }}
{{- with .Values.schemaRegistry }}{{ if .existingSecret }}
registry: {name: {{ .existingSecret }}, key: {{ .passwordKey }}, path: password}
{{- end }}{{ end }}
{{- with .Values.http }}{{ if .existingSecret }}
http: {name: {{ .existingSecret }}, key: {{ .tokenKey }}, path: token}
{{- end }}{{ end }}
{{- end }}

{{- define "tributary.environment" -}}
- {name: GOMEMLIMIT, value: {{ include "tributary.gomemlimit" . | quote }}}
- {name: TERMINATION_GRACE_PERIOD_SECONDS, value: {{ .Values.terminationGracePeriodSeconds | quote }}}
{{- with .Values.otel }}{{ if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
{{- with .protocol }}
- {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ . | quote }}}
{{- end }}
{{- with .resourceAttributes }}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: {{ . | quote }}}
{{- end }}
{{- if .existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .headersKey }}}}
{{- end }}
{{- end }}{{ end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
