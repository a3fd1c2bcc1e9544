{{- define "reinstate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "reinstate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "reinstate.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "reinstate.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Names of cluster-wide objects carry the namespace, so that two releases do not meet. */}}
{{- define "reinstate.clustername" -}}
{{- printf "%s-%s" .Release.Namespace (include "reinstate.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "reinstate.selector" -}}
app.kubernetes.io/name: {{ include "reinstate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "reinstate.labels" -}}
{{ include "reinstate.selector" . }}
app.kubernetes.io/part-of: reinstate
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object: dict "root" $ "name" … "namespace" … "labels" … "annotations" … */}}
{{- define "reinstate.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "reinstate.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "reinstate.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "reinstate.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* An image's full name: dict "root" $ "image" .Values.image.… */}}
{{- define "reinstate.image" -}}
{{- with .image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Not empty where the kinds of the Prometheus operator may be rendered. */}}
{{- define "reinstate.monitoring" -}}
{{- if or .Values.metrics.force (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}yes{{ end }}
{{- end }}

{{- define "reinstate.rules" -}}
{{- $rules := .root.Files.Get "files/rules.yaml" | fromYaml }}
{{- toYaml (index $rules .scope) }}
{{- end }}
