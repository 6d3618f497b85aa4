{{/* Release and chart in one name; a release called like the chart gets it once. */}}
{{- define "minigpt4.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{/* The labels by which selectors find the pods. */}}
{{- define "minigpt4.selector" -}}
app.kubernetes.io/name: minigpt4-service
app.kubernetes.io/component: server
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "minigpt4.labels" -}}
{{ include "minigpt4.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "minigpt4.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s-%s" .Chart.AppVersion .Values.device) }}
{{- end }}
