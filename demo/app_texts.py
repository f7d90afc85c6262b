"""What the web app says, in English and Chinese."""

from __future__ import annotations

LANGUAGES = ("en", "zh")
# Keys share one space with those of gradio's own page: `video` there is a table.

EN = dict(
    title="mmgen_ext: pictures in another style",
    heading="# Pictures in another style",
    intro="Choose a model, give it a picture or a video, and look at both with the slider. "
    "All is computed on this machine. What you upload is deleted after {minutes} minutes, and when "
    "the app ends.",
    tab_translate="Translate",
    tab_picture="Picture",
    tab_video="Video",
    tab_sheet="All styles",
    tab_runs="Trainings",
    model="Model",
    direction="Direction",
    refresh="Look for new models",
    options="Options",
    size="Size to work at (short side)",
    size_info="The result keeps the original's size. 0 works at the original's own; "
    "a smaller number is faster.",
    precision="Precision",
    precision_info="auto is fp32; bf16 is faster on many machines.",
    format="Download as",
    picture="Your picture",
    film="Your video",
    translate="Translate",
    cancel="Cancel",
    before_after="Before and after",
    result="Result",
    download="Download",
    stabilise="Take flicker out",
    compare="Left half stays the original",
    styles="Styles",
    styles_info="Take some away, or add others.",
    make_sheet="Show all styles",
    sheet="Contact sheet",
    run="Training",
    no_runs="No training was found in {folder}. Start one with tools/train.py; it appears here.",
    no_models="No model was found. Train one, put published files into a folder and name it with "
    "--styles, or install one: pip install vintagify",
    head_run="Training",
    head_state="State",
    head_iteration="Iteration",
    head_loss="Loss",
    head_kid="KID",
    head_updated="Last sign of life",
    running="running",
    finished="finished",
    stopped="stopped",
    silent="no news",
    ago="{time} ago",
    seconds="{n} s",
    minutes="{n} min",
    hours="{n} h",
    days="{n} d",
    loading="Loading {model}",
    working="Translating",
    frame="Frame {done} of {total}, {left} left",
    frame_of_unknown="Frame {done}",
    style_of="{done} of {total}: {model}",
    note_size="{width} x {height}, {seconds} s",
    note_frames="{frames} frames, {seconds} s",
    note_animation="This is an animation of {count} pictures: the first was translated.",
    note_preview="The slider shows a smaller copy; the download has the full size.",
    note_failed="Not on the sheet: {reason}",
    failed="That did not work",
    note="Note",
    cancelled="Cancelled.",
    no_picture="Upload, paste or photograph a picture first.",
    no_video="Upload or record a video first.",
    gone="This upload was deleted meanwhile; please upload it again.",
    empty_file="This file is empty (0 bytes).",
    too_large="This file has {size} MB; {limit} MB is the limit here.",
    too_many_pixels="This picture has {width} x {height} pixels, more than the {limit} million "
    "that are taken here; make it smaller, or use tools/translate.py.",
    not_picture="This is no picture that can be read: {reason}.",
    not_video="This is no video that can be read: {reason}.",
    not_known="it is of none of the formats {formats}",
    not_written="The result cannot be written as {format} ({reason}); choose another format.",
    unknown_model="There is no model {model!r} here; look for new models, or choose another.",
    unusable="The model {model} cannot be used: {reason}",
    unknown_direction="The model {model} makes {domains}, not {domain!r}.",
    bad_size="The size is a whole number from 32 to 4096, or 0 for the original's own.",
    bad_option="{value!r} is not one of {choices}.",
    no_styles="Choose at least one style.",
    none_usable="None of these models can be used.",
    memory="The memory does not suffice; choose a smaller size.",
    misfit="These values do not fit what is asked for; a file goes as handle_file(PATH) of "
    "gradio_client.",
    unexpected="That failed, and it is not your fault: what happened stands in the window "
    "where the app runs.",
)

ZH = dict(
    title="mmgen_ext：图片风格转换",
    heading="# 图片风格转换",
    intro="选择模型，放入图片或视频，再用滑块对比前后效果。所有计算都在本机完成。"
    "上传的文件会在 {minutes} 分钟后以及程序退出时删除。",
    tab_translate="转换",
    tab_picture="图片",
    tab_video="视频",
    tab_sheet="全部风格",
    tab_runs="训练",
    model="模型",
    direction="方向",
    refresh="查找新模型",
    options="选项",
    size="处理尺寸（短边）",
    size_info="结果保持原图大小。0 表示按原图尺寸处理；数字越小越快。",
    precision="精度",
    precision_info="auto 即 fp32；bf16 在许多机器上更快。",
    format="下载格式",
    picture="你的图片",
    film="你的视频",
    translate="开始转换",
    cancel="取消",
    before_after="前后对比",
    result="结果",
    download="下载",
    stabilise="消除闪烁",
    compare="左半边保留原画面",
    styles="风格",
    styles_info="可以去掉一些，也可以添加。",
    make_sheet="显示全部风格",
    sheet="风格总览",
    run="训练",
    no_runs="在 {folder} 中没有找到训练。用 tools/train.py 开始训练后会显示在这里。",
    no_models="没有找到模型。可以训练一个，或用 --styles 指定存放已发布文件的文件夹，"
    "或安装一个：pip install vintagify",
    head_run="训练",
    head_state="状态",
    head_iteration="迭代",
    head_loss="损失",
    head_kid="KID",
    head_updated="最近更新",
    running="训练中",
    finished="已完成",
    stopped="已停止",
    silent="长时间未更新",
    ago="{time}前",
    seconds="{n} 秒",
    minutes="{n} 分钟",
    hours="{n} 小时",
    days="{n} 天",
    loading="正在加载 {model}",
    working="正在转换",
    frame="第 {done} 帧，共 {total} 帧，剩余约 {left}",
    frame_of_unknown="第 {done} 帧",
    style_of="第 {done} 个，共 {total} 个：{model}",
    note_size="{width} x {height}，{seconds} 秒",
    note_frames="{frames} 帧，{seconds} 秒",
    note_animation="这是含 {count} 幅画面的动图，只转换了第一幅。",
    note_preview="滑块中显示的是缩小的副本，下载的文件是完整尺寸。",
    note_failed="未列入总览：{reason}",
    failed="没有成功",
    note="提示",
    cancelled="已取消。",
    no_picture="请先上传、粘贴或拍摄一张图片。",
    no_video="请先上传或录制一段视频。",
    gone="上传的文件已被删除，请重新上传。",
    empty_file="文件是空的（0 字节）。",
    too_large="文件大小为 {size} MB，这里的上限是 {limit} MB。",
    too_many_pixels="图片为 {width} x {height} 像素，超过这里 {limit} 百万像素的上限；"
    "请先缩小，或使用 tools/translate.py。",
    not_picture="无法作为图片读取：{reason}。",
    not_video="无法作为视频读取：{reason}。",
    not_known="不属于这些格式：{formats}",
    not_written="结果无法保存为 {format}（{reason}）；请选择其他格式。",
    unknown_model="没有名为 {model!r} 的模型；请点击查找新模型，再从列表中选择。",
    unusable="模型 {model} 无法使用：{reason}",
    unknown_direction="模型 {model} 可以生成 {domains}，不能生成 {domain!r}。",
    bad_size="尺寸应为 32 到 4096 的整数，或用 0 表示原图尺寸。",
    bad_option="{value!r} 不在可选范围内：{choices}。",
    no_styles="请至少选择一种风格。",
    none_usable="这些模型都无法使用。",
    memory="内存不足，请选择较小的尺寸。",
    misfit="传入的值与接口不符；文件请用 gradio_client 的 handle_file(路径) 传入。",
    unexpected="操作失败，这不是你的问题：详情见运行本程序的窗口。",
)

TEXTS = {"en": EN, "zh": ZH}


def say(language: str, key: str, **values: object) -> str:
    """The text of a key in a language."""
    return TEXTS[language][key].format(**values)


def language_of(accepted: str) -> str:
    """The language of a browser, by its Accept-Language."""
    return "zh" if accepted.strip().lower().startswith("zh") else "en"


class Refused(ValueError):
    """What the user can put right: a key of the texts and what fills it.

    Args:
        key: Key of EN and ZH.
        values: What fills the text; a nested Refused is put into words as well.
    """

    def __init__(self, key: str, **values: object):
        super().__init__(key)
        self.key, self.values = key, values

    def __str__(self) -> str:
        return self.text("en")

    def text(self, language: str) -> str:
        """The sentence in a language."""
        values = {
            name: value.text(language) if isinstance(value, Refused) else value
            for name, value in self.values.items()
        }
        return say(language, self.key, **values)
